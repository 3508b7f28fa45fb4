//! The end: in order, at once, under load, with guests that do not want to, and without the master.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use crate::support::{
    App, Broken, Cluster, Connection, Guest, Probe, Version, empty, eventually, get, gone, pairs, request,
    side_by_side, try_get,
};

/// What an orderly stop of idle processes may take on a busy machine; `stop-timeout` is 10 s.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test]
async fn sigterm_and_sigint_stop_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        for guest in Guest::PROBES {
            let mut cluster = Cluster::start(&[App::probe(guest, 2).agent(guest, "")]).await;
            let processes = cluster.processes();
            assert_eq!(processes.len(), 4);
            // One connection is idle, which must not hold anything up.
            let _idle = Probe::open(cluster.addr()).await;
            cluster.master().signal(signal);
            let status = cluster.ended(SOON).await;
            assert_eq!(status.code(), Some(0), "{signal}: {status}");
            assert_eq!(cluster.processes(), []);
            let addr = cluster.addr();
            assert!(matches!(try_get(addr, "/hello").await, Err(Broken::Refused(_))));
        }
    }
}

#[tokio::test]
async fn guests_hear_of_the_stop_workers_first() {
    // `STOP=hang` holds the agent's stop up, and by then the workers are gone.
    let environment = r#"environment = { STOP = "hang" }"#;
    let app = App::probe(Guest::ProbeP3, 2).agent(Guest::ProbeP3, environment);
    let mut cluster = Cluster::start(&[app.more("[limits]\nstop-timeout = \"3s\"")]).await;
    cluster.master().signal(Signal::SIGTERM);
    eventually("the workers' end", async || cluster.processes_of("worker probe").is_empty()).await;
    assert_eq!(cluster.processes_of("agent probe").len(), 1, "the agent went before its time");
    assert_eq!(cluster.ended(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_guest_that_does_not_stop_is_stopped() {
    side_by_side(pairs(&Guest::PROBES, &["worker", "agent"]), async |(guest, role)| {
        let hang = r#"environment = { STOP = "hang" }"#;
        let (worker, agent) = if role == "worker" { (hang, "") } else { ("", hang) };
        let app = App::new("stays").worker(guest, &format!("workers = 1\n{worker}")).agent(guest, agent);
        let mut cluster = Cluster::start(&[app.more("[limits]\nstop-timeout = \"1s\"")]).await;
        let begun = Instant::now();
        cluster.master().signal(Signal::SIGTERM);
        // Within `stop-timeout`, and what a busy machine adds.
        let status = cluster.ended(Duration::from_secs(6)).await;
        assert_eq!(status.code(), Some(0), "{guest:?} {role}");
        assert!(begun.elapsed() >= Duration::from_millis(500), "{guest:?} {role}: its stop was not called");
        assert_eq!(cluster.processes(), []);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_keep_a_guest_from_its_stop() {
    // Its worker would wait for it until it is killed.
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\nstop-timeout = \"5s\"");
    let mut cluster = Cluster::start(&[app]).await;
    let mut client = TcpStream::connect(cluster.addr()).unwrap();
    client.write_all(b"GET /source?bytes=1000000000 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    client.read_exact(&mut [0; 10]).unwrap();
    cluster.master().signal(Signal::SIGTERM);
    assert_eq!(cluster.ended(SOON).await.code(), Some(0));
    let log = cluster.log.ended().await;
    assert!(log.contains("exit code 0") && !log.contains("SIGKILL"), "{log}");
}

#[tokio::test]
async fn an_http2_client_that_does_not_read_does_not_hold_a_stop() {
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\nstop-timeout = \"1m\"\nwrite-timeout = \"1s\"");
    let mut cluster = Cluster::start(&[app]).await;
    // Its connection is read, and would be until the drain's end.
    let mut client = Connection::open(cluster.addr(), Version::H2).await;
    let unread = client.begin(request("GET", "/source?bytes=100000000", empty())).await.unwrap();
    assert_eq!(unread.status(), 200);
    cluster.master().signal(Signal::SIGTERM);
    assert_eq!(cluster.ended(SOON).await.code(), Some(0));
    let log = cluster.log.ended().await;
    assert!(log.contains("`write-timeout`") && !log.contains("SIGKILL"), "{log}");
    drop(unread);
}

#[tokio::test]
async fn a_drain_that_gets_less_time_leaves_some_for_the_guests_stop() {
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\nstop-timeout = \"5s\"");
    let mut cluster = Cluster::start(&[app]).await;
    let addr = cluster.addr();
    let slow = tokio::spawn(async move { try_get(addr, "/sleep?ms=60000").await });
    eventually("the request", async || established(addr.port()) >= 1).await;
    cluster.master().signal(Signal::SIGHUP);
    cluster.log.wait_for("reloaded app=probe generation=2").await;
    // The old worker drains, and had `drain-timeout` for it, 30 s: its guest's stop would come too late.
    assert_eq!(cluster.processes_of("worker probe").len(), 2);
    cluster.master().signal(Signal::SIGTERM);
    assert_eq!(cluster.ended(2 * SOON).await.code(), Some(0));
    let log = cluster.log.ended().await;
    // With that code it has ended by itself, after its guest's stop.
    assert!(log.matches("exit code 0").count() == 2 && !log.contains("SIGKILL"), "{log}");
    assert_eq!(log.matches("stopping with open connections").count(), 1, "{log}");
    // It may still hear that its instance has gone.
    assert!(!slow.await.unwrap().is_ok_and(|reply| reply.status == 200));
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    for (first, second) in [
        (Some(Signal::SIGINT), Signal::SIGINT),
        (Some(Signal::SIGTERM), Signal::SIGTERM),
        (None, Signal::SIGQUIT),
    ] {
        let app = App::new("stays").worker(Guest::ProbeP3, r#"environment = { STOP = "hang" }"#);
        let mut cluster = Cluster::start(&[app.more("[limits]\nstop-timeout = \"1m\"")]).await;
        if let Some(first) = first {
            cluster.master().signal(first);
            cluster.log.wait_for("stopping").await;
        }
        cluster.master().signal(second);
        cluster.ended(Duration::from_secs(5)).await;
        assert_eq!(cluster.processes(), []);
    }
}

#[tokio::test]
async fn a_stop_while_starting_stops() {
    let environment = r#"environment = { START = "hang" }"#;
    let app = App::new("slow").worker(Guest::ProbeP3, environment).agent(Guest::ProbeP3, "");
    let mut cluster = Cluster::spawn(&[app], &[]);
    eventually("a worker", async || !cluster.processes_of("worker slow").is_empty()).await;
    cluster.master().signal(Signal::SIGTERM);
    assert_eq!(cluster.ended(SOON).await.code(), Some(0));
    assert_eq!(cluster.processes(), []);
    assert_eq!(cluster.stdout.all(), "");
}

/// What became of one client's requests.
#[derive(Default)]
struct Outcome {
    failures: Vec<String>,
    /// Requests on a connection that had served others, closed without a byte of an answer. Fine if
    /// they were written while the server closed an idle connection, so that nobody ever read them.
    unread: Vec<String>,
}

/// Sends one request after the other, each of which has the guest print a line of its own, and
/// connects anew when a connection was closed between two of them. Ends when nobody listens.
async fn client(addr: SocketAddr, name: usize, answered: Arc<AtomicUsize>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut number = 0;
    while let Ok(mut connection) = Connection::try_open(addr, Version::H1).await {
        let mut is_fresh = true;
        loop {
            number += 1;
            let line = format!("<{name}.{number}>");
            let path = format!("/print?out=%3C{name}.{number}%3E%0A");
            match connection.try_send(request("GET", &path, empty())).await {
                Ok(reply) if reply.status == 200 => answered.fetch_add(1, SeqCst),
                Ok(reply) => {
                    outcome.failures.push(format!("{line}: {} {}", reply.status, reply.text()));
                    break;
                }
                Err(error) if error.is_unsent() => break,
                Err(error) => {
                    match is_fresh {
                        true => {
                            outcome.failures.push(format!("{line}, the first of its connection: {error}"));
                        }
                        false => outcome.unread.push(line),
                    }
                    break;
                }
            };
            is_fresh = false;
        }
    }
    outcome
}

#[tokio::test]
async fn under_load_every_request_taken_is_answered() {
    for balance in ["round-robin", "least-connections", "shared"] {
        let keys = format!("workers = 2\nbalance = \"{balance}\"");
        let app = App::new("busy").worker(Guest::ProbeP3, &keys).agent(Guest::ProbeP3, "");
        let mut cluster = Cluster::start(&[app]).await;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for name in 0..32 {
            clients.spawn(client(cluster.addr(), name, answered.clone()));
        }
        eventually("some load", async || answered.load(SeqCst) > 1000).await;
        cluster.master().signal(Signal::SIGTERM);
        assert_eq!(cluster.ended(SOON).await.code(), Some(0), "{balance}");
        for outcome in clients.join_all().await {
            assert!(outcome.failures.is_empty(), "{balance}: {:?}", outcome.failures);
            for line in outcome.unread {
                assert_eq!(cluster.log.count(&line), 0, "{balance}: {line} was read and not answered");
            }
        }
        assert_eq!(cluster.processes(), []);
    }
}

#[tokio::test]
async fn what_was_begun_before_the_stop_is_finished() {
    side_by_side(Guest::PROBES, async |guest| {
        let mut cluster = Cluster::start(&[App::probe(guest, 2)]).await;
        let addr = cluster.addr();
        let mut begun = JoinSet::new();
        for _ in 0..2 {
            begun.spawn(async move { get(addr, "/sleep?ms=1500").await });
        }
        // Each is with a worker when that one has computed for it: it has a connection of the guest's
        // port, which the listener has not.
        eventually("both requests", async || established(addr.port()) >= 2).await;
        cluster.master().signal(Signal::SIGTERM);
        for reply in begun.join_all().await {
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        assert_eq!(cluster.ended(SOON).await.code(), Some(0));
    })
    .await;
}

/// How many connections a local port has accepted, from `/proc`.
fn established(port: u16) -> usize {
    let local = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_ours = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|address| address.ends_with(&local)) && fields.nth(1) == Some("01")
    };
    table.lines().filter(is_ours).count()
}

#[tokio::test]
async fn without_the_master_nothing_stays() {
    for guest in Guest::PROBES {
        let mut cluster = Cluster::start(&[App::probe(guest, 2).agent(guest, "")]).await;
        let children = cluster.processes();
        assert_eq!(children.len(), 4);
        cluster.master().signal(Signal::SIGKILL);
        assert!(gone(&children, Duration::from_secs(1)).await, "{:?}", cluster.processes());
        cluster.ended(SOON).await;
    }
}

#[tokio::test]
async fn without_the_master_nothing_stays_also_while_a_guest_spins() {
    for guest in Guest::PROBES {
        let app = App::probe(guest, 2).more("[limits]\ncpu-limit = \"1m\"\nrequest-timeout = \"2m\"");
        let mut cluster = Cluster::start(&[app]).await;
        let children = cluster.processes();
        let addr = cluster.addr();
        let spin = tokio::spawn(async move { try_get(addr, "/spin?ms=60000").await });
        eventually("a worker that spins", async || {
            children.iter().any(|process| process.title.contains("worker") && process.spent() > 20)
        })
        .await;
        cluster.master().signal(Signal::SIGKILL);
        assert!(gone(&children, Duration::from_secs(1)).await, "{:?}", cluster.processes());
        cluster.ended(SOON).await;
        assert!(spin.await.unwrap().is_err());
    }
}
