//! What a trap does to the requests beside it, and to its process when there are many.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{App, Cluster, Connection, Guest, Version, eventually, full, get, request};

#[tokio::test]
async fn a_trap_among_many_requests_is_seen_by_its_own_only() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let addr = cluster.addr();
    let mut under_way = JoinSet::new();
    for number in 0..99 {
        under_way.spawn(async move {
            let version = if number % 2 == 0 { Version::H1 } else { Version::H2 };
            Connection::open(addr, version).await.get("/sleep?ms=1500").await.status
        });
    }
    let writes = tokio::spawn(async move {
        let mut connection = Connection::open(addr, Version::H1).await;
        connection.send(request("POST", "/ask?to=app&action=sleep", full("9000"))).await
    });
    // All are with the guest when it has counted so many.
    let mut looks = 0;
    eventually("all of them", async || {
        looks += 1;
        get(addr, "/count").await.json::<Value>()["count"] == looks + 100
    })
    .await;
    assert_eq!(get(addr, "/trap").await.status, 500);
    assert_eq!(under_way.join_all().await, [200; 99]);
    let write = writes.await.unwrap();
    assert_eq!((write.status, write.header("retry-after")), (503, "0"));
    cluster.log.wait_for_count("is run again", 99).await;
    cluster.log.wait_for("fresh instance takes over").await;
    assert_eq!(cluster.log.count("is run again"), 99);
    assert_eq!(cluster.log.count("fresh instance takes over"), 1);
    // The fresh instance has had them all, and they saw what they sent.
    assert_eq!(get(addr, "/count").await.json::<Value>(), json!({ "count": 100 }));
}

#[tokio::test]
async fn a_request_is_run_again_once() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let addr = cluster.addr();
    let asked = tokio::spawn(async move { get(addr, "/sleep?ms=20000").await });
    for trap in 0..2 {
        let mut looks = 0;
        eventually("the request", async || {
            looks += 1;
            get(addr, "/count").await.json::<Value>()["count"] == looks + 1
        })
        .await;
        assert_eq!(get(addr, "/trap").await.status, 500, "{trap}");
    }
    let reply = asked.await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, "0"));
    cluster.log.wait_for("is run again").await;
    assert_eq!(cluster.log.count("is run again"), 1);
}

#[tokio::test]
async fn bystanders_of_one_that_computes_too_long_are_run_again() {
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\ncpu-limit = \"300ms\"");
    let cluster = Cluster::start(&[app]).await;
    let addr = cluster.addr();
    let mut under_way = JoinSet::new();
    for _ in 0..10 {
        under_way.spawn(async move { get(addr, "/sleep?ms=1000").await.status });
    }
    let mut looks = 0;
    eventually("all of them", async || {
        looks += 1;
        get(addr, "/count").await.json::<Value>()["count"] == looks + 10
    })
    .await;
    assert_eq!(get(addr, "/spin?ms=20000").await.status, 504);
    assert_eq!(under_way.join_all().await, [200; 10]);
}

#[tokio::test]
async fn too_many_traps_replace_the_process() {
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\ntrap-limit = 3");
    let cluster = Cluster::start(&[app]).await;
    let addr = cluster.addr();
    let old = cluster.process("worker probe/0");
    for _ in 0..4 {
        assert_eq!(get(addr, "/trap").await.status, 500);
    }
    eventually("another process", async || {
        cluster.processes_of("worker probe/0").iter().any(|process| process.id != old.id)
    })
    .await;
    assert_eq!(get(addr, "/hello").await.status, 200);
    // The master's own line, and not only the child's.
    cluster.log.wait_for("more than 3 times within a minute (`trap-limit`) (exit code 1)").await;
    let exits = || -> Vec<Value> {
        let reports = cluster.reports("probe").into_iter().map(|(_, report)| report);
        reports.filter(|report| report["kind"] == "exit").collect()
    };
    eventually("its crash report", async || !exits().is_empty()).await;
    let exits = exits();
    let [exit] = exits.as_slice() else { panic!("not one exit: {exits:?}") };
    let reason = "the guest trapped more than 3 times within a minute (`trap-limit`) (exit code 1)";
    assert_eq!(exit["reason"], reason);
}

/// How many traps the median is of.
const MEASURED: usize = 20;

/// For its figures, of a release build:
/// `HATCHERY_BINARY=target/release/hatchery cargo test --test all e2e::traps -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "it measures, and nothing can fail but the requests"]
async fn how_long_a_trap_takes() {
    for guest in Guest::PROBES {
        let app = App::probe(guest, 1).more("[limits]\ntrap-limit = 1000");
        let cluster = Cluster::start(&[app]).await;
        let mut traps = Connection::open(cluster.addr(), Version::H1).await;
        let mut asks = Connection::open(cluster.addr(), Version::H1).await;
        let mut alone = Vec::new();
        for _ in 0..=MEASURED {
            let begun = Instant::now();
            assert_eq!(asks.get("/hello").await.status, 200);
            alone.push(begun.elapsed());
        }
        let (mut until_500, mut until_200) = (Vec::new(), Vec::new());
        for _ in 0..=MEASURED {
            let begun = Instant::now();
            assert_eq!(traps.get("/trap").await.status, 500);
            until_500.push(begun.elapsed());
            assert_eq!(asks.get("/hello").await.status, 200);
            until_200.push(begun.elapsed());
        }
        let show = |times: &[Duration]| {
            let (first, mut rest) = (times[0], times[1..].to_vec());
            rest.sort_unstable();
            format!("first {first:.2?}, median {:.2?}, most {:.2?}", rest[MEASURED / 2], rest[MEASURED - 1])
        };
        println!("{guest:?}: no trap, 200: {}", show(&alone));
        println!("{guest:?}: trap, its 500: {}", show(&until_500));
        println!("{guest:?}: trap, the next one's 200: {}", show(&until_200));
    }
}
