//! Guests that trap, spin, never answer, and clients that go away or speak no HTTP: each harms itself.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::LazyLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    App, Cluster, Connection, DEADLINE, Guest, Version, eventually, full, get, pairs, request, side_by_side,
};

#[tokio::test]
async fn a_handler_without_a_response_is_a_500() {
    for guest in Guest::PROBES {
        for instance in ["resident", "per-request"] {
            let keys = format!("workers = 1\ninstance = \"{instance}\"");
            let cluster = Cluster::start(&[App::new("silent").worker(guest, &keys)]).await;
            for _ in 0..2 {
                let reply = get(cluster.addr(), "/no-response").await;
                assert_eq!(reply.status, 500, "{guest:?} {instance}");
            }
            assert_eq!(get(cluster.addr(), "/hello").await.text(), "hello\n");
        }
    }
}

#[tokio::test]
async fn a_trap_is_a_500_and_a_fresh_instance_answers() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        let worker = cluster.process("worker probe/0");
        let mut connection = Connection::open(cluster.addr(), Version::H1).await;
        for _ in 0..3 {
            for number in 1..4 {
                // Counted from 1 again: its memory is new.
                assert_eq!(connection.get("/count").await.json::<Value>(), json!({ "count": number }));
            }
            assert_eq!(connection.get("/trap").await.status, 500);
        }
        // The process is the same one; the fresh instance was started, and is told nothing twice.
        assert_eq!(cluster.process("worker probe/0"), worker);
        let log: Value = connection.get("/log").await.json();
        let events: Vec<_> = log.as_array().unwrap().iter().map(|entry| &entry["event"]).collect();
        assert_eq!(events.iter().filter(|event| **event == "start").count(), 1, "{log}");
        assert!(cluster.log.count("trap") >= 3);
    }
}

#[tokio::test]
async fn a_trap_after_the_response_hurts_nobody() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        let addr = cluster.addr();
        let reply = get(addr, "/late?ms=50").await;
        assert_eq!((reply.status, reply.text()), (200, "late\n"));
        eventually("the trap", async || cluster.log.count("fresh instance") >= 1).await;
        assert_eq!(get(addr, "/hello").await.text(), "hello\n");
    }
}

#[tokio::test]
async fn bystanders_of_a_trap_are_answered_or_told_to_retry() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let addr = cluster.addr();
    let mut under_way = JoinSet::new();
    for method in ["GET", "POST"] {
        under_way.spawn(async move {
            let path = if method == "GET" { "/sleep?ms=2000" } else { "/ask?to=app&action=sleep" };
            let mut connection = Connection::open(addr, Version::H1).await;
            (
                method,
                connection.send(request(method, path, full(if method == "GET" { "" } else { "9000" }))).await,
            )
        });
    }
    // Both are with the guest when it has counted two more than these.
    let mut looks = 0;
    eventually("both", async || {
        looks += 1;
        get(addr, "/count").await.json::<Value>()["count"] == looks + 2
    })
    .await;
    assert_eq!(get(addr, "/trap").await.status, 500);
    for (method, reply) in under_way.join_all().await {
        match reply.status {
            // Run again on the fresh instance: only where that changes nothing.
            200 => assert_eq!(method, "GET"),
            503 => assert_eq!(reply.header("retry-after"), "0"),
            status => panic!("{method}: {status} {}", reply.text()),
        }
    }
}

#[tokio::test]
async fn per_request_instances_do_not_hurt_each_other() {
    let keys = "workers = 1\ninstance = \"per-request\"\nconcurrency = 16";
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::new("many").worker(guest, keys)]).await;
        let addr = cluster.addr();
        let begun = Instant::now();
        let mut under_way = JoinSet::new();
        for number in 0..16 {
            under_way.spawn(async move {
                let path = if number % 4 == 0 { "/trap" } else { "/sleep?ms=1000" };
                (number, get(addr, path).await.status)
            });
        }
        for (number, status) in under_way.join_all().await {
            assert_eq!(status, if number % 4 == 0 { 500 } else { 200 }, "{guest:?}");
        }
        // Also of WASI 0.2 they run beside each other.
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_504_and_the_worker_goes_on() {
    side_by_side(pairs(&Guest::PROBES, &["resident", "per-request"]), async |(guest, instance)| {
        let keys = format!("workers = 1\ninstance = \"{instance}\"");
        let app = App::new("late").worker(guest, &keys).more("[limits]\nrequest-timeout = \"300ms\"");
        let cluster = Cluster::start(&[app]).await;
        for _ in 0..2 {
            assert_eq!(get(cluster.addr(), "/await-forever").await.status, 504, "{guest:?} {instance}");
        }
        eventually("an answer", async || get(cluster.addr(), "/hello").await.status == 200).await;
    })
    .await;
}

#[tokio::test]
async fn requests_that_never_end_do_not_take_all_places_for_good() {
    // They stay with the guest when their clients have long had their 504, and nothing else gets in. That
    // messages still come and go is no sign of life.
    let app = App::new("full")
        .worker(Guest::ProbeP3, "workers = 1\nconcurrency = 4")
        .more("[limits]\nrequest-timeout = \"500ms\"")
        .more("[[schedule]]\nname = \"tick\"\ninterval = \"100ms\"\ntype = \"all\"");
    let cluster = Cluster::start(&[app]).await;
    let (addr, worker) = (cluster.addr(), cluster.process("worker full/0"));
    for round in 0..3 {
        let mut waiting = JoinSet::new();
        for _ in 0..4 {
            waiting.spawn(async move { get(addr, "/await-forever").await.status });
        }
        assert_eq!(waiting.join_all().await, [504; 4], "{round}");
        // Those that wait for a place are late as well; the next one is not.
        let mut late = 0;
        while get(addr, "/hello").await.status != 200 {
            late += 1;
            assert!(late < 3, "{round}: the places are taken for good");
        }
    }
    assert_eq!(cluster.process("worker full/0"), worker);
}

#[tokio::test]
async fn a_request_that_computes_too_long_is_a_504_and_the_worker_goes_on() {
    for guest in Guest::PROBES {
        for instance in ["resident", "per-request"] {
            let keys = format!("workers = 1\ninstance = \"{instance}\"");
            let app = App::new("spins").worker(guest, &keys).more("[limits]\ncpu-limit = \"300ms\"");
            let cluster = Cluster::start(&[app]).await;
            for _ in 0..2 {
                let begun = Instant::now();
                assert_eq!(get(cluster.addr(), "/spin?ms=20000").await.status, 504, "{guest:?} {instance}");
                assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
                assert_eq!(get(cluster.addr(), "/hello").await.text(), "hello\n", "{guest:?} {instance}");
            }
            // What is within the limit is answered.
            assert_eq!(get(cluster.addr(), "/spin?ms=50").await.status, 200);
        }
    }
}

#[tokio::test]
async fn while_one_spins_others_are_answered_elsewhere() {
    // The worker that spins still takes connections, but its guest can't answer; the others can.
    let app = App::probe(Guest::ProbeP3, 2).more("[limits]\ncpu-limit = \"10s\"");
    let cluster = Cluster::start(&[app]).await;
    let addr = cluster.addr();
    let spin = tokio::spawn(async move { get(addr, "/spin?ms=3000").await.status });
    let mut answered = 0;
    while !spin.is_finished() {
        let limit = Duration::from_millis(500);
        answered += usize::from(tokio::time::timeout(limit, get(addr, "/hello")).await.is_ok());
    }
    assert_eq!(spin.await.unwrap(), 200);
    assert!(answered >= 2, "only {answered} were answered meanwhile");
}

#[tokio::test]
async fn a_client_that_goes_away_hurts_nobody() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        for path in ["/sleep?ms=300", "/source?bytes=100000000"] {
            for _ in 0..5 {
                let mut stream = TcpStream::connect(cluster.addr()).unwrap();
                write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
                let mut some = [0; 10];
                if path.starts_with("/source") {
                    stream.read_exact(&mut some).unwrap();
                }
            }
        }
        assert_eq!(get(cluster.addr(), "/hello").await.text(), "hello\n", "{guest:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        let addr = cluster.addr();
        let answer = async |text: &'static [u8]| {
            tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                stream.write_all(text).unwrap();
                let mut answer = Vec::new();
                // A reset is an end as well.
                let _ = stream.read_to_end(&mut answer);
                String::from_utf8_lossy(&answer).into_owned()
            })
            .await
            .unwrap()
        };
        let no_host = answer(b"GET /hello HTTP/1.1\r\nconnection: close\r\n\r\n").await;
        assert!(no_host.starts_with("HTTP/1.1 400 "), "{guest:?}: {no_host}");
        let garbage = answer(b"this is no HTTP\r\n\r\n").await;
        assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
        let large = answer(LARGE_HEADER.as_bytes()).await;
        assert!(large.is_empty() || large.starts_with("HTTP/1.1 4"), "{large}");
        let whole = answer(b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.contains("\nhello\n"), "{whole}");
    }
}

/// More header than any server takes.
static LARGE_HEADER: LazyLock<String> =
    LazyLock::new(|| format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n", "x".repeat(1 << 20)));
