//! A master that is killed at each point of a deploy. The next one finds the old version or the new one,
//! whole, and serves it.

use std::fs;

use serde_json::Value;

use crate::support::{App, Guest, Service, eventually, get};

/// In the order in which a deploy comes by (`sys::point`).
const POINTS: [&str; 22] = [
    "add-begun",
    "add-opened",
    "add-extracted",
    "add-synced",
    "add-linked",
    "add-put",
    "add-uploaded",
    "look",
    "look-begun",
    "look-found",
    "checked",
    "prepared",
    "compile-begun",
    "compiled",
    "bound",
    "starts",
    "serves",
    "record-written",
    "record-renamed",
    "on-file",
    "alone",
    "never",
];

fn version(number: usize, listen: &str) -> App {
    let keys = format!("workers = 1\nlisten = \"{listen}\"\nenvironment = {{ VERSION = \"{number}\" }}");
    App::new("probe").version(&format!("0.{number}.0")).worker(Guest::ProbeP2, &keys)
}

#[tokio::test]
async fn wherever_it_breaks_off_one_version_is_whole() {
    let service = Service::new();
    let first = service.write(&version(0, "127.0.0.1:0"));
    service.start(&[&first]).await;
    let addr = service.addr_of("probe").await.to_string();
    let mut serves = 0;
    let (mut old, mut new) = (0, 0);
    for (number, point) in POINTS.iter().enumerate() {
        let number = number + 1;
        fs::write(service.kill_at(), point).unwrap();
        let folder = service.write(&version(number, &addr));
        let done = service.run(&["deploy", &folder]).await;
        let killed = *point != "never";
        assert_eq!(done.code == Some(0), !killed, "{point}: {}{}", done.stdout, done.stderr);
        fs::remove_file(service.kill_at()).unwrap();
        if killed {
            eventually("the master's end", async || service.processes().is_empty()).await;
            service.start(&[]).await;
        }
        let reply = get(service.addr_of("probe").await, "/env").await;
        let found: usize = reply.json::<Value>()["VERSION"].as_str().unwrap().parse().unwrap();
        assert!(
            found == serves || found == number,
            "{point}: {found} serves, and neither {serves} nor {number}"
        );
        if found == number {
            new += 1;
        } else {
            old += 1;
        }
        serves = found;
        assert!(service.ok(&["store", "verify"]).await.contains("verified"), "{point}");
    }
    // It breaks off before the switch, and after it.
    assert!(old >= 10 && new >= 4, "{old} times the old one, {new} times the new one");
}
