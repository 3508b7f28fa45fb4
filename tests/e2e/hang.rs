//! Processes that neither end nor go on.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{
    App, Clients, Cluster, Guest, Meanwhile, Probe, eventually, get, is_quiet, side_by_side,
};

/// What the app allows, and what replacing it may take beside that.
const HANG: Duration = Duration::from_secs(1);
const MORE: Duration = Duration::from_secs(1);

/// Of clients, while a worker is stopped.
const CONNECTIONS: usize = 64;

#[tokio::test]
async fn a_stopped_worker_is_killed_and_replaced() {
    let app = App::probe(Guest::ProbeP3, 2).more("[limits]\nhang-timeout = \"1s\"");
    let cluster = Cluster::start(&[app]).await;
    let clients = Clients::start(cluster.addr(), CONNECTIONS);
    clients.spread(2).await;
    let (ready, stopped) = (cluster.log.count("master ready"), cluster.process("worker probe/1"));
    let hit = clients.hit(1, &stopped, Signal::SIGSTOP, Meanwhile::GoOn).await;
    cluster.log.wait_for_count("master ready", ready + 1).await;
    let again = cluster.log.timed("master ready")[ready].0 - hit.at;
    cluster.log.wait_for("has not answered for 1s").await;
    // Who was with the other one, or came meanwhile, lost nothing and did not wait.
    Probe::each(cluster.addr(), 2).await;
    let answers = clients.answers_of_others(&hit).len();
    let (lost, _) = clients.end().await;
    println!("SIGSTOP of a worker: ready again after {again:.1?}, {} requests lost, {hit:?}", lost.len());
    assert!(again < HANG + MORE || !is_quiet(), "it took {again:?}");
    assert!(lost.iter().all(|lost| lost.went_with(hit.pid)), "{lost:?}");
    assert!(lost.len() <= hit.connections, "{} lost, {hit:?}", lost.len());
    assert!(answers > CONNECTIONS, "only {answers} answers meanwhile");
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
    let again = stopped.elapsed();
    println!("SIGSTOP of the agent: ready again after {again:.1?}");
    assert!(again < HANG + MORE || !is_quiet(), "it took {again:?}");
    assert_ne!(worker.agent_pid().await, old);
}

#[tokio::test]
async fn guests_that_compute_or_wait_do_not_make_their_process_hang() {
    side_by_side(Guest::PROBES, async |guest| {
        let limits = "[limits]\nhang-timeout = \"500ms\"\ncpu-limit = \"20s\"";
        let cluster = Cluster::start(&[App::probe(guest, 1).more(limits)]).await;
        let worker = cluster.process("worker probe/0");
        assert_eq!(get(cluster.addr(), "/spin?ms=1200").await.status, 200);
        assert_eq!(get(cluster.addr(), "/sleep?ms=1200").await.status, 200);
        assert_eq!(cluster.process("worker probe/0"), worker);
    })
    .await;
}
