//! Processes that neither end nor go on.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{App, Cluster, Guest, Probe, eventually, get};

/// What the app allows, and what replacing it may take beside that.
const HANG: Duration = Duration::from_secs(1);
const MORE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_stopped_worker_is_killed_and_replaced() {
    let app = App::probe(Guest::ProbeP3, 2).more("[limits]\nhang-timeout = \"1s\"");
    let cluster = Cluster::start(&[app]).await;
    let mut before = Probe::each(cluster.addr(), 2).await;
    let (old, stopped) = (before[1].pid, Instant::now());
    cluster.process("worker probe/1").signal(Signal::SIGSTOP);
    let stays = &mut before[0];
    eventually("a ready replacement", async || {
        let list = stays.processes().await;
        list.iter().any(|p| p.role == "worker" && p.slot == 1 && p.pid != old && p.state == "ready")
    })
    .await;
    assert!(stopped.elapsed() < HANG + MORE, "it took {:?}", stopped.elapsed());
    cluster.log.wait_for("has not answered for 1s").await;
    // Nobody who connected meanwhile waits for the one that was stopped.
    Probe::each(cluster.addr(), 2).await;
}

#[tokio::test]
async fn a_stopped_agent_is_killed_and_replaced() {
    let app = App::probe(Guest::ProbeP3, 1).agent(Guest::ProbeP3, "").more("[limits]\nhang-timeout = \"1s\"");
    let cluster = Cluster::start(&[app]).await;
    let mut worker = Probe::open(cluster.addr()).await;
    let old = worker.agent_pid().await;
    let stopped = Instant::now();
    cluster.process("agent probe/0").signal(Signal::SIGSTOP);
    eventually("a ready replacement", async || {
        let list = worker.processes().await;
        list.iter().any(|p| p.role == "agent" && p.pid != old && p.state == "ready")
    })
    .await;
    assert!(stopped.elapsed() < HANG + MORE, "it took {:?}", stopped.elapsed());
    assert_ne!(worker.agent_pid().await, old);
}

#[tokio::test]
async fn guests_that_compute_or_wait_do_not_make_their_process_hang() {
    for guest in Guest::PROBES {
        let limits = "[limits]\nhang-timeout = \"500ms\"\ncpu-limit = \"20s\"";
        let cluster = Cluster::start(&[App::probe(guest, 1).more(limits)]).await;
        let worker = cluster.process("worker probe/0");
        assert_eq!(get(cluster.addr(), "/spin?ms=2000").await.status, 200);
        assert_eq!(get(cluster.addr(), "/sleep?ms=1500").await.status, 200);
        assert_eq!(cluster.process("worker probe/0"), worker);
    }
}
