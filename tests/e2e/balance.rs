//! How connections are spread, and that none is lost under load.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::SinkExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    App, Cluster, Connection, Guest, Probe, Version, empty, eventually, get, request, streamed, try_get,
};

const BALANCES: [&str; 3] = ["round-robin", "least-connections", "shared"];

/// How long a load runs: 1 s, or `HATCHERY_E2E_LOAD` in seconds.
fn load() -> Duration {
    let seconds = std::env::var("HATCHERY_E2E_LOAD").map_or(1, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

fn app(guest: Guest, workers: u32, balance: &str) -> App {
    App::new("spread").worker(guest, &format!("workers = {workers}\nbalance = \"{balance}\""))
}

/// How many connections each worker was given by pid, one after the other.
async fn spread(cluster: &Cluster, connections: usize) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..connections {
        let this: Value = get(cluster.addr(), "/self").await.json();
        *counts.entry(this["pid"].as_u64().unwrap()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn round_robin_differs_by_one_at_most() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, 3, "round-robin")]).await;
        let counts = spread(&cluster, 100).await;
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable();
        assert_eq!(counts, [33, 33, 34]);
    }
}

#[tokio::test]
async fn round_robin_differs_by_one_at_most_of_many_at_once() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 2, "round-robin")]).await;
    let addr = cluster.addr();
    let mut asked = JoinSet::new();
    for _ in 0..201 {
        asked.spawn(async move { get(addr, "/self").await.json::<Value>()["pid"].as_u64().unwrap() });
    }
    let mut counts = BTreeMap::new();
    for pid in asked.join_all().await {
        *counts.entry(pid).or_insert(0) += 1;
    }
    let mut counts: Vec<i32> = counts.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [100, 101]);
}

#[tokio::test]
async fn least_connections_goes_to_who_has_the_fewest() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 3, "least-connections")]).await;
    let addr = cluster.addr();
    // Kept open: they are spread evenly.
    let mut open = Vec::new();
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for _ in 0..30 {
        let probe = Probe::open(addr).await;
        *counts.entry(probe.pid).or_default() += 1;
        open.push(probe);
    }
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [10, 10, 10]);
    // One worker loses all of its own, and gets the next ones.
    let freed = open[0].pid;
    open.retain(|probe| probe.pid != freed);
    eventually("the freed worker is preferred", async || Probe::open(addr).await.pid == freed).await;
    for _ in 0..8 {
        let probe = Probe::open(addr).await;
        assert_eq!(probe.pid, freed);
        open.push(probe);
    }
}

#[tokio::test]
async fn shared_workers_all_serve() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 2, "shared")]).await;
    let addr = cluster.addr();
    // The kernel wakes whom it likes; with both busy, both take some.
    let mut asked = JoinSet::new();
    for _ in 0..400 {
        asked.spawn(async move {
            let mut probe = Probe::open(addr).await;
            probe.get::<Value>("/sleep?ms=50").await;
            probe.pid
        });
    }
    let pids: BTreeSet<_> = asked.join_all().await.into_iter().collect();
    assert_eq!(pids.len(), 2);
}

#[tokio::test]
async fn a_load_on_each_balance_fails_no_request() {
    for guest in [Guest::HelloP2, Guest::HelloP3] {
        for balance in BALANCES {
            let cluster = Cluster::start(&[app(guest, 2, balance)]).await;
            let addr = cluster.addr();
            let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let mut clients = JoinSet::new();
            for client in 0..48 {
                let (over, done) = (over.clone(), done.clone());
                clients.spawn(async move {
                    let mut connection = Connection::open(addr, Version::H1).await;
                    while !over.load(SeqCst) {
                        // A third of them connects anew each time.
                        let reply = match client % 3 {
                            0 => try_get(addr, "/").await,
                            _ => connection.try_send(request("GET", "/", empty())).await,
                        };
                        match reply {
                            Ok(reply) if reply.text() == "Hello, world" => done.fetch_add(1, SeqCst),
                            Ok(reply) => return vec![format!("{} {}", reply.status, reply.text())],
                            Err(error) => return vec![error.to_string()],
                        };
                    }
                    Vec::new()
                });
            }
            tokio::time::sleep(load()).await;
            over.store(true, SeqCst);
            let failures = clients.join_all().await.concat();
            assert!(failures.is_empty(), "{guest:?} {balance}: {failures:?}");
            println!("{guest:?} {balance}: {} requests in {:?}", done.load(SeqCst), load());
        }
    }
}

/// Bytes of a body that must not pass through memory as a whole: 128 MiB, or `HATCHERY_E2E_MIB`.
fn large() -> usize {
    let mib = std::env::var("HATCHERY_E2E_MIB").map_or(128, |text| text.parse().unwrap());
    mib << 20
}

#[tokio::test]
async fn a_large_body_takes_little_memory() {
    const CHUNK: usize = 64 * 1024;
    for guest in Guest::PROBES {
        let app = App::probe(guest, 1).more("[limits]\nrequest-timeout = \"10m\"");
        let cluster = Cluster::start(&[app]).await;
        let worker = cluster.process("worker probe/0");
        let size = large();
        let chunk = Bytes::from(vec![b'x'; CHUNK]);
        let fill = async |mut frames: futures::channel::mpsc::Sender<Frame<Bytes>>| {
            for _ in 0..size / CHUNK {
                frames.send(Frame::data(chunk.clone())).await.unwrap();
            }
        };
        let mut connection = Connection::open(cluster.addr(), Version::H1).await;
        let (frames, body) = streamed(4);
        let (reply, ()) = tokio::join!(connection.begin(request("POST", "/sink", body)), fill(frames));
        let answer = reply.unwrap().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), json!({ "bytes": size }));

        let path = format!("/source?bytes={size}");
        let down = connection.begin(request("GET", &path, empty())).await.unwrap();
        assert_eq!(count(down).await, size);

        let (frames, body) = streamed(4);
        let (came_back, ()) = tokio::join!(
            async { count(connection.begin(request("POST", "/echo", body)).await.unwrap()).await },
            fill(frames)
        );
        assert_eq!(came_back, size);

        let peak = worker.peak_memory();
        println!("{guest:?}: {} MiB up, down and both ways, peak memory {peak} KiB", size >> 20);
        assert!(peak < 64 * 1024, "{guest:?}: {peak} KiB");
    }
}

async fn count(mut response: http::Response<hyper::body::Incoming>) -> usize {
    let mut bytes = 0;
    while let Some(frame) = response.frame().await {
        bytes += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    bytes
}
