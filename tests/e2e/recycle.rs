//! Workers that have served long enough are replaced, and nobody notices.

use std::{
    collections::BTreeSet,
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
