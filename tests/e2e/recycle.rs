//! Workers that have served long enough are replaced, and nobody notices.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{App, Cluster, Connection, DEADLINE, Guest, Version, empty, eventually, request};

/// Clients that ask over and over until there have been so many worker processes.
async fn until_replaced(cluster: &Cluster, processes: usize) {
    let addr = cluster.addr();
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..8 {
        clients.spawn(async move {
            let mut seen = BTreeSet::new();
            while seen.len() < processes && begun.elapsed() < DEADLINE {
                let mut connection = Connection::open(addr, Version::H1).await;
                // Until the worker says that this was the connection's last answer.
                loop {
                    let reply = connection.try_send(request("GET", "/self", empty())).await.unwrap();
                    seen.insert(reply.json::<Value>()["pid"].as_u64().unwrap());
                    if reply.header("connection") == "close" || seen.len() >= processes {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            seen.len()
        });
    }
    while let Some(seen) = clients.join_next().await {
        assert!(seen.unwrap() >= processes, "not replaced in time");
    }
}

#[tokio::test]
async fn after_so_many_requests() {
    let keys = "workers = 1\nrecycle = { requests = 500 }";
    let cluster = Cluster::start(&[App::new("probe").worker(Guest::ProbeP3, keys)]).await;
    until_replaced(&cluster, 3).await;
    assert!(cluster.log.count("`recycle.requests`") >= 2);
}

#[tokio::test]
async fn at_an_age() {
    let keys = "workers = 2\nrecycle = { age = \"1s\" }";
    let cluster = Cluster::start(&[App::new("probe").worker(Guest::ProbeP3, keys)]).await;
    let first: Vec<_> = cluster.processes_of("worker probe/0");
    eventually("another process in the slot", async || {
        let now = cluster.processes_of("worker probe/0");
        !now.is_empty() && now.iter().all(|process| !first.contains(process))
    })
    .await;
    assert!(cluster.log.count("`recycle.age`") >= 1);
}

#[tokio::test]
async fn when_it_takes_much_memory() {
    // Less than a worker takes at once: each goes as soon as it is looked at.
    let keys = "workers = 1\nrecycle = { memory = \"16MiB\" }";
    let cluster = Cluster::start(&[App::new("probe").worker(Guest::ProbeP3, keys)]).await;
    eventually("a reason", async || cluster.log.count("`recycle.memory`") >= 1).await;
    eventually("another process", async || cluster.log.count("replacement=true") >= 1).await;
}

#[tokio::test]
async fn a_bound_that_is_reached_while_others_start_counts() {
    // The first one reaches it when it is ready, and the last one is not.
    let keys = "workers = 3\nrecycle = { memory = \"16MiB\" }";
    let cluster = Cluster::start(&[App::new("probe").worker(Guest::ProbeP3, keys)]).await;
    let first: Vec<_> = (1..=3).map(|pid| format!("pid={pid} reason=\"takes ")).collect();
    for reason in first {
        cluster.log.wait_for(&reason).await;
    }
}

/// Clients that make their worker's guest leak handles, over and over until the log has the text so
/// often. Every answer must be a 200. While a worker is to go they ask for no more handles: on a busy machine the
/// next one takes its time, and the old one's guest would come to its limit and trap.
async fn leak_until(cluster: &Cluster, path: &'static str, text: &str, times: usize) {
    let addr = cluster.addr();
    let (over, leaks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (over, leaks) = (over.clone(), leaks.clone());
        clients.spawn(async move {
            while !over.load(SeqCst) {
                let mut connection = Connection::open(addr, Version::H1).await;
                while !over.load(SeqCst) {
                    let path = if leaks.load(SeqCst) { path } else { "/hello" };
                    let reply = connection.try_send(request("GET", path, empty())).await.unwrap();
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    if reply.header("connection") == "close" {
                        break;
                    }
                    // At most a few thousand a second: each look is in time.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    eventually(text, async || {
        let gone = cluster.log.count(text);
        leaks.store(gone < cluster.log.count("master ready"), SeqCst);
        gone >= times
    })
    .await;
    over.store(true, SeqCst);
    clients.join_all().await;
}

#[tokio::test]
async fn when_its_guest_holds_many_handles() {
    for guest in [Guest::HostileP3, Guest::HostileP2] {
        // Without the key too: then there are more before.
        for (keys, path, times) in
            [("recycle = { handles = 2000 }", "/leak?handles=3", 2), ("", "/leak?handles=25", 1)]
        {
            let cluster =
                Cluster::start(&[App::new("leaks").worker(guest, &format!("workers = 1\n{keys}"))]).await;
            let first = cluster.process("worker leaks/0");
            leak_until(&cluster, path, "handles (`recycle.handles`)", times).await;
            eventually("the first one's end", async || {
                !cluster.processes_of("worker leaks/0").contains(&first)
            })
            .await;
            assert_eq!(cluster.log.count("trapped"), 0, "{guest:?} {keys}");
        }
    }
}

#[tokio::test]
async fn not_for_handles_that_are_given_back() {
    for guest in Guest::PROBES {
        let app = App::new("tidy").worker(guest, "workers = 1\nrecycle = { handles = 1000 }");
        let cluster = Cluster::start(&[app]).await;
        let mut connection = Connection::open(cluster.addr(), Version::H1).await;
        let begun = Instant::now();
        let mut answered = 0;
        // Several looks, and more requests than it may hold handles.
        while answered < 2000 || begun.elapsed() < Duration::from_secs(2) {
            assert_eq!(connection.get("/hello").await.status, 200);
            answered += 1;
        }
        assert_eq!(cluster.log.count("recycle.handles"), 0, "{guest:?}");
    }
}
