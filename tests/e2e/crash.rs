//! Crash reports: what is left of a process that died, or of a guest that trapped.

use std::{path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{App, Cluster, Guest, eventually, eventually_some, get, try_get};

async fn report(cluster: &Cluster, number: usize) -> (PathBuf, Value) {
    eventually_some("a crash report", async || cluster.reports("probe").into_iter().nth(number)).await
}

#[tokio::test]
async fn a_killed_worker_leaves_its_requests_and_its_last_lines() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let addr = cluster.addr();
    let worker = cluster.process("worker probe/0");
    get(addr, "/print?out=last%20words%0A").await;
    cluster.log.wait_for("last words").await;
    let count = async || get(addr, "/count").await.json::<Value>()["count"].as_u64().unwrap();
    let mut expected = count().await;
    let slow = tokio::spawn(try_get(addr, "/sleep?ms=9000"));
    // The guest has counted one more than was asked here.
    eventually("the request is with the guest", async || {
        expected += 1;
        count().await > expected
    })
    .await;
    worker.signal(Signal::SIGKILL);
    assert!(slow.await.unwrap().is_err());
    let (file, report) = report(&cluster, 0).await;
    assert_eq!(report["kind"], "exit");
    assert_eq!(report["reason"], "signal 9 (SIGKILL)");
    for (key, value) in [("app", "probe"), ("role", "worker"), ("version", "1.2.3")] {
        assert_eq!(report[key], value, "{report}");
    }
    assert_eq!(report["os-pid"].as_i64(), Some(i64::from(worker.id)), "{report}");
    assert_eq!(report["requests"][0]["request"], "GET /sleep", "{report}");
    assert!(report["requests"][0]["age_ms"].is_u64(), "{report}");
    let log = report["log"].as_array().unwrap();
    assert!(log.iter().any(|line| line.as_str().unwrap().contains("last words")), "{report}");
    cluster.log.wait_for(file.to_str().unwrap()).await;
}

#[tokio::test]
async fn a_trap_leaves_its_backtrace() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        assert_eq!(get(cluster.addr(), "/trap").await.status, 500);
        let (_, report) = report(&cluster, 0).await;
        assert_eq!(report["kind"], "trap");
        assert!(report["reason"].as_str().unwrap().contains("unreachable"), "{report}");
        let backtrace = report["backtrace"].as_array().unwrap();
        assert!(backtrace.iter().any(|frame| frame.as_str().unwrap().contains("trap")), "{report}");
        assert_eq!(report["requests"][0]["request"], "GET /trap", "{report}");
    }
}

#[tokio::test]
async fn an_orderly_end_leaves_nothing() {
    let mut cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1).agent(Guest::ProbeP3, "")]).await;
    cluster.master().signal(Signal::SIGTERM);
    assert!(cluster.ended(Duration::from_secs(20)).await.success());
    assert_eq!(cluster.reports("probe"), []);
}
