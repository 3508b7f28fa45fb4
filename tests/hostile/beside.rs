//! What other tests show to be refused, here again and again beside another app, which is not to feel it. What is a
//! flood, or takes long, is beside it in its own test.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinSet,
};

use super::{Watch, cache::entries, good};
use crate::{
    e2e::{flat, raw},
    support::{App, Cluster, Guest, Probe, Service, bomb, get},
};

#[tokio::test]
async fn what_is_refused_to_guests_harms_nobody_else() {
    let keys = "workers = 1\nfolders = [{ source = \"data\", destination = \"/data\" }]";
    let bad = App::new("bad").worker(Guest::ProbeP3, keys).agent(Guest::ProbeP3, "").file("data/a.txt", "a");
    let cluster = Cluster::start(&[bad, good()]).await;
    let (watch, addr, good) = (Watch::of(&cluster), cluster.addr_of("bad"), cluster.addr_of("good"));
    let mut bad = Probe::open(addr).await;
    watch
        .through("messages that are too large", async || {
            assert!(!bad.send_sized("broadcast", "large", (1 << 20) + 1).await.errors.is_empty());
        })
        .await;
    watch
        .through("messages to nobody", async || {
            let sent: Value = bad.post("/send?to=999999&action=spy&n=100&size=10", "").await;
            assert_eq!(sent["ok"], 0);
        })
        .await;
    let what = json!({ "to": "broadcast", "action": "a".repeat(1_000_000) }).to_string();
    watch
        .through("actions of a megabyte", async || {
            let answer = bad.ask("agent", "send", &what).await;
            assert!(answer["ok"].as_str().is_some_and(|text| text.contains("invalid-action(")));
        })
        .await;
    watch
        .through("paths that lead out", async || {
            for path in ["/data/../../etc/passwd", "/etc/passwd", "/proc/self/environ", "/proc/self/fd/3"] {
                let got: Value = bad.get(&format!("/fs/read?path={path}")).await;
                assert!(got["error"].is_string(), "{path}: {got}");
            }
        })
        .await;
    let port = good.port();
    watch
        .through("addresses of others", async || {
            for host in ["169.254.169.254", &format!("127.0.0.1:{port}"), &format!("[::ffff:7f00:1]:{port}")]
            {
                let got: Value = bad.get(&format!("/fetch?url=http://{host}/hello")).await;
                assert!(got["error"].is_string(), "{host}: {got}");
            }
        })
        .await;
    watch.is_unchanged("all that").await;
}

/// So many at once of those that wait. Of those that send much one after the other: a client that has work to do
/// takes it from these CPUs.
const SLOW: usize = 8;

#[tokio::test]
async fn what_is_refused_to_clients_harms_nobody_else() {
    let bad = App::new("bad").worker(Guest::ProbeP3, "workers = 1").more(flat::LIMITS);
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    for case in flat::cases() {
        let addr = cluster.addr_of("bad");
        watch
            .through(case.what, async || {
                let mut clients = JoinSet::new();
                for _ in 0..if case.what.contains("slow") { SLOW } else { 1 } {
                    let sends = case.sends.clone();
                    clients.spawn(async move { raw(addr, sends).await.0 });
                }
                for answer in clients.join_all().await {
                    let status = answer.split(' ').nth(1).unwrap_or_default();
                    assert!(case.gets.contains(&status), "{}: {answer:?}", case.what);
                }
            })
            .await;
    }
    watch.is_unchanged("all that").await;
}

/// Between two reloads.
const RELOADED: Duration = Duration::from_millis(500);

#[tokio::test]
async fn what_is_refused_to_who_deploys_harms_nobody_else() {
    let service = Service::with_own_cache();
    let folders =
        [service.write(&good()), service.write(&App::new("bad").worker(Guest::HelloP2, "workers = 1"))];
    service.start(&[&folders[0], &folders[1]]).await;
    let master = service.master().unwrap();
    let watch = Watch::new(master, service.addr_of("good").await);
    let of_bad = |more: &str| App::new("bad").version("2").more(more);
    let limits = "[limits]\ncompile-time = \"1s\"";
    let bombs = service.write_to("bomb", &of_bad(limits).worker_wasm(bomb(1_000, 500), "workers = 1"));
    watch
        .through("a compile bomb", async || {
            let error = service.fails(&["deploy", &bombs]).await;
            assert!(error.contains("compile-time"), "{error}");
        })
        .await;
    let keys = "workers = 1\nenvironment = { START = \"hang\" }";
    let limits = "[limits]\nstart-timeout = \"300ms\"";
    let hangs = service.write_to("hangs", &of_bad(limits).worker(Guest::ProbeP3, keys));
    watch
        .through("a start that hangs", async || {
            let error = service.fails(&["deploy", &hangs]).await;
            assert!(error.contains("start-timeout"), "{error}");
        })
        .await;
    watch
        .through("native code that was tampered with", async || {
            for entry in entries(&service) {
                let mut bytes = fs::read(&entry).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
                fs::write(&entry, bytes).unwrap();
            }
            service.ok(&["reload", "bad"]).await;
            // Nobody reloads much more often; what it costs to start processes is beside failing starts.
            tokio::time::sleep(RELOADED).await;
        })
        .await;
    assert!(service.log().contains("does not verify; compiling anew"));
    let socket = service.home().join("hatchery.sock");
    watch
        .through("garbage at the admin socket", async || {
            let mut stream = UnixStream::connect(&socket).await.unwrap();
            // It may be closed before all of it is written.
            let _ = stream.write_all(&[0xa5; 100_000]).await;
            let _ = stream.read_to_end(&mut vec![]).await;
        })
        .await;
    assert_eq!(get(service.addr_of("bad").await, "/hello").await.status, 200);
    watch.is_unchanged("all that").await;
}
