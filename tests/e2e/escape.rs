//! What a guest that may write does to get out of its folders.

use std::fs;

use serde_json::{Value, json};

use crate::support::{App, Guest, Service, get, put};

/// From `HOME/apps/probe/data/free` to the home's parent.
const OUT: &str = "../../../../..";

/// It may write to these, each seen as its last part.
fn version(number: u32, guest: Guest, sources: &[&str]) -> App {
    let entry = |source: &&str| {
        let destination = source.rsplit('/').next().unwrap();
        format!("{{ source = \"{source}\", destination = \"/{destination}\", writable = true }}")
    };
    let folders: Vec<_> = sources.iter().map(entry).collect();
    let app = App::new("probe").version(&format!("0.{number}.0"));
    app.worker(guest, &format!("workers = 1\nfolders = [{}]", folders.join(", "))).file("free/sub/keep", "")
}

#[tokio::test]
async fn a_link_left_for_the_next_version_leads_nowhere() {
    for guest in Guest::PROBES {
        let service = Service::new();
        let one = service.write_to("1", &version(1, guest, &["free"]));
        let two = service.write_to("2", &version(2, guest, &["free/sub"]));
        service.start(&[&one]).await;
        let addr = service.addr_of("probe").await;
        let made: Value = put(addr, &format!("/fs/link?path=/free/sub&to={OUT}"), "").await.json();
        assert_eq!(made, json!({}), "{guest:?}");
        let data = service.home().join("apps/probe/data");
        assert_eq!(
            data.join("free/sub").canonicalize().unwrap(),
            service.folder().canonicalize().unwrap(),
            "the link does not lead out"
        );
        // While it serves, the link is of no use.
        for path in ["/free/sub", "/free/sub/home"] {
            let got: Value = get(addr, &format!("/fs/list?path={path}")).await.json();
            assert!(got["error"].is_string(), "{guest:?} lists {path}: {got}");
        }
        service.ok(&["deploy", &two]).await;
        let addr = service.addr_of("probe").await;
        let list: Value = get(addr, "/fs/list?path=/sub").await.json();
        assert_eq!(list, json!({ "entries": [] }), "{guest:?}");
        let written: Value = put(addr, "/fs/write?path=/sub/new.txt", "new").await.json();
        assert_eq!(written, json!({ "bytes": 3 }), "{guest:?}");
        assert_eq!(fs::read_to_string(data.join("free%2Fsub/new.txt")).unwrap(), "new");
        assert!(!service.folder().join("new.txt").exists());
    }
}

#[tokio::test]
async fn no_folder_is_inside_of_a_writable_one() {
    let service = Service::new();
    let app = service.write(&version(1, Guest::ProbeP3, &["free", "free/sub"]));
    service.start(&[]).await;
    for verb in ["deploy", "run"] {
        let error = service.fails(&[verb, &app]).await;
        assert!(error.contains("this folder is inside of one that a guest may write to"), "{verb}: {error}");
    }
}
