//! The broker as a process: who has one, what becomes of requests when it dies, and how many connections
//! there may be.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{App, Cluster, DEADLINE, Guest, OsProcess, eventually, eventually_some, get};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere";

/// The test answers what comes.
fn server() -> (SocketAddr, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, streams) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let tell = tell.clone();
            thread::spawn(move || {
                // A connection without a request is none: its broker died before it handed it over.
                if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    let _ = tell.send(stream);
                }
            });
        }
    });
    (addr, streams)
}

fn app(guest: Guest, addr: SocketAddr) -> App {
    App::new("out").worker(guest, &format!("workers = 1\nallowed-outbound-hosts = [\"http://{addr}\"]"))
}

fn fetch(cluster: &Cluster, addr: SocketAddr) -> tokio::task::JoinHandle<Value> {
    let at = cluster.addr();
    tokio::spawn(async move { get(at, &format!("/fetch?url=http://{addr}/")).await.json() })
}

async fn next(streams: &Receiver<TcpStream>) -> TcpStream {
    eventually_some("a request", async || streams.try_recv().ok()).await
}

async fn broker(cluster: &Cluster) -> OsProcess {
    eventually_some("a broker", async || {
        let found = cluster.processes_of("broker out");
        found.into_iter().find(OsProcess::lives)
    })
    .await
}

#[tokio::test]
async fn who_is_granted_nothing_has_none() {
    let (addr, _streams) = server();
    let keys = format!("allowed-outbound-hosts = [\"http://{addr}\"]");
    let agent = App::new("agent").worker(Guest::ProbeP3, "workers = 1").agent(Guest::ProbeP3, &keys);
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 2), agent]).await;
    eventually("one broker", async || {
        let brokers = cluster.processes_of("broker");
        brokers.iter().map(|one| one.title.as_str()).eq(["hatchery: broker agent"])
    })
    .await;
    // Its worker, which is granted nothing, gets nothing from it either.
    let got: Value = get(cluster.addr_of("agent"), &format!("/fetch?url=http://{addr}/")).await.json();
    assert!(got["error"].as_str().unwrap().to_lowercase().contains("denied"), "{got}");
}

#[tokio::test]
async fn a_broker_that_dies_is_replaced_and_costs_nothing_that_is_connected() {
    for guest in Guest::PROBES {
        let (addr, streams) = server();
        let cluster = Cluster::start(&[app(guest, addr)]).await;
        // A request whose response is still to come.
        let slow = fetch(&cluster, addr);
        let mut stream = next(&streams).await;
        let first = broker(&cluster).await;
        first.signal(Signal::SIGKILL);
        eventually("its end", async || !first.lives()).await;
        stream.write_all(ANSWER).unwrap();
        assert_eq!(slow.await.unwrap(), json!({ "status": 200, "body": "here" }), "{guest:?}");
        // The next request finds the next one, whether it is there already or not.
        let again = fetch(&cluster, addr);
        next(&streams).await.write_all(ANSWER).unwrap();
        assert_eq!(again.await.unwrap()["status"], 200);
        assert_ne!(broker(&cluster).await.id, first.id);
        cluster.log.wait_for("signal 9 (SIGKILL)").await;
        // The worker is the one that it was.
        assert_eq!(cluster.log.count("role=worker slot=0"), cluster.log.count("role=worker slot=0 pid=1"));
    }
}

#[tokio::test]
async fn many_deaths_in_a_row_lose_no_request() {
    let (addr, streams) = server();
    let cluster = Cluster::start(&[app(Guest::ProbeP3, addr)]).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let answering = thread::spawn({
        let is_over = is_over.clone();
        move || {
            let mut answered = 0;
            while !is_over.load(SeqCst) {
                let Ok(mut stream) = streams.recv_timeout(Duration::from_millis(50)) else { continue };
                let _ = stream.write_all(ANSWER);
                answered += 1;
            }
            answered
        }
    });
    for _ in 0..5 {
        let victim = broker(&cluster).await;
        let requests: Vec<_> = (0..20).map(|_| fetch(&cluster, addr)).collect();
        victim.signal(Signal::SIGKILL);
        for request in requests {
            let got = tokio::time::timeout(DEADLINE, request).await.expect("an end").unwrap();
            assert_eq!(got["status"], 200, "{got}");
        }
    }
    is_over.store(true, SeqCst);
    assert!(answering.join().unwrap() >= 100);
}

#[tokio::test]
async fn one_that_hangs_is_replaced() {
    let (addr, streams) = server();
    let app = app(Guest::ProbeP3, addr).more("[limits]\nhang-timeout = \"500ms\"");
    let cluster = Cluster::start(&[app]).await;
    let first = broker(&cluster).await;
    first.signal(Signal::SIGSTOP);
    let request = fetch(&cluster, addr);
    next(&streams).await.write_all(ANSWER).unwrap();
    assert_eq!(request.await.unwrap()["status"], 200);
    assert!(!first.lives());
}

#[tokio::test]
async fn connections_have_a_bound() {
    let (addr, streams) = server();
    let app = app(Guest::ProbeP3, addr).more("[limits]\noutbound-connections = 2");
    let cluster = Cluster::start(&[app]).await;
    let held = [fetch(&cluster, addr), fetch(&cluster, addr)];
    let mut streams_held = [next(&streams).await, next(&streams).await];
    let got = fetch(&cluster, addr).await.unwrap();
    let error = got["error"].as_str().unwrap().to_lowercase().replace('-', "");
    assert!(error.contains("connectionlimitreached"), "{error}");
    for stream in &mut streams_held {
        stream.write_all(ANSWER).unwrap();
    }
    for request in held {
        assert_eq!(request.await.unwrap()["status"], 200);
    }
    let again = fetch(&cluster, addr);
    next(&streams).await.write_all(ANSWER).unwrap();
    assert_eq!(again.await.unwrap()["status"], 200);
}

#[tokio::test]
async fn a_reload_has_a_broker_of_its_own_and_leaves_none() {
    let (addr, streams) = server();
    let cluster = Cluster::start(&[app(Guest::ProbeP2, addr)]).await;
    let first = broker(&cluster).await;
    cluster.master().signal(Signal::SIGHUP);
    eventually("another broker alone", async || {
        let found = cluster.processes_of("broker out");
        matches!(found.as_slice(), [one] if one.id != first.id)
    })
    .await;
    let request = fetch(&cluster, addr);
    next(&streams).await.write_all(ANSWER).unwrap();
    assert_eq!(request.await.unwrap()["status"], 200);
}
