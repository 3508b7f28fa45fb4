//! Clients that send too much, too slowly, or two things at once, and more of them than there is room
//! for: each gets its answer or its end in time, memory stays flat, and others are served.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{SinkExt as _, future::join_all};
use http_body_util::BodyExt as _;
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use crate::support::{
    App, Cluster, Connection, DEADLINE, Guest, Version, empty, eventually, get, pairs, post, request,
    side_by_side, streamed,
};

/// What tests of slow clients set; each client is slower.
const SHORT: &str = "[limits]
header-timeout = \"700ms\"
body-timeout = \"700ms\"
write-timeout = \"700ms\"";

/// Within which a bound of 700 ms has to show.
const SOON: Duration = Duration::from_secs(10);

/// Writes a text, and gives all that comes until the server closes, and after how long it did.
pub(crate) async fn raw(addr: SocketAddr, text: impl Into<Vec<u8>>) -> (String, Duration) {
    let text = text.into();
    spawn_blocking(move || {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut answer = Vec::new();
        // A server that closes on what it won't read may reset.
        let ended = match stream.write_all(&text) {
            Ok(()) => stream.read_to_end(&mut answer).map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            assert!(
                matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                "neither answered nor closed: {error}"
            );
        }
        (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
    })
    .await
    .unwrap()
}

#[track_caller]
fn is_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "not {status}: {answer:?}");
}

#[tokio::test]
async fn a_head_that_comes_slowly_is_cut_off() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1).more(SHORT)]).await;
    // Nothing, HTTP/2's first bytes, half a head, and a second request that does not come.
    let texts =
        ["", "PRI * HT", "GET /hello HTTP/1.1\r\nhost: a\r\nx: ", "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n"];
    let answers = join_all(texts.map(|text| raw(cluster.addr(), text))).await;
    for (text, (answer, took)) in texts.into_iter().zip(answers) {
        let answered = text.ends_with("\r\n\r\n");
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), answered, "{text:?}: {answer:?}");
        assert!(took >= Duration::from_millis(600) && took < SOON, "{text:?}: {took:?}");
    }
    // A short head is no slow one, and its request may take its time.
    let (answer, _) = raw(cluster.addr(), "GET /sleep?ms=1000 HTTP/1.1\r\nhost:a\r\n\r\n").await;
    is_status(&answer, 200);
    let (answer, _) = raw(cluster.addr(), "GET /a HTTP/1.0\r\n\r\n").await;
    is_status(&answer.replace("HTTP/1.0", "HTTP/1.1"), 400);
    assert_eq!(get(cluster.addr(), "/hello").await.status, 200);
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_a_408() {
    side_by_side(pairs(&Guest::PROBES, &["resident", "per-request"]), async |(guest, instance)| {
        let keys = format!("workers = 1\ninstance = \"{instance}\"");
        let cluster = Cluster::start(&[App::new("slow").worker(guest, &keys).more(SHORT)]).await;
        let framings = ["content-length: 100\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"];
        let text = |framing| format!("POST /sink HTTP/1.1\r\nhost: a\r\n{framing}");
        let answers = join_all(framings.map(|framing| raw(cluster.addr(), text(framing)))).await;
        for (answer, took) in answers {
            is_status(&answer, 408);
            assert!(took >= Duration::from_millis(600) && took < SOON, "{took:?}");
            assert_eq!(get(cluster.addr(), "/hello").await.status, 200, "{guest:?} {instance}");
        }
        assert_eq!(cluster.log.count("trapped"), 0, "{guest:?} {instance}");
    })
    .await;
}

#[tokio::test]
async fn a_body_that_comes_when_the_request_is_late_is_the_clients_fault() {
    let app =
        App::probe(Guest::ProbeP3, 1).more("[limits]\nrequest-timeout = \"500ms\"\nbody-timeout = \"3s\"");
    let cluster = Cluster::start(&[app]).await;
    let text = "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc";
    is_status(&raw(cluster.addr(), text).await.0, 408);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    side_by_side(Guest::PROBES, async |guest| {
        let cluster = Cluster::start(&[App::probe(guest, 1).more(SHORT)]).await;
        let addr = cluster.addr();
        let worker = cluster.process("worker probe/0");
        let mut streams = Vec::new();
        // One of WASI 0.2 writes to one after the other.
        for _ in 0..if guest == Guest::ProbeP2 { 3 } else { 20 } {
            let mut stream = TcpStream::connect(addr).unwrap();
            write!(stream, "GET /source?bytes=1000000000 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            streams.push(stream);
        }
        let cut_off = async || cluster.log.count("`write-timeout`") >= streams.len();
        eventually("the end of those that do not read", cut_off).await;
        // The guest's writes have ended as well: the resident 0.2 instance would answer nothing else.
        assert_eq!(get(addr, "/hello").await.text(), "hello\n", "{guest:?}");
        let peak = worker.peak_memory();
        assert!(peak < 96 * 1024, "{guest:?}: {peak} KiB");
        // One that reads slowly, and does read, gets everything.
        let answer = spawn_blocking(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            let size = 8 << 20;
            write!(stream, "GET /source?bytes={size} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .unwrap();
            let (mut got, mut buffer) = (0, vec![0; 1 << 20]);
            loop {
                let read = stream.read(&mut buffer).unwrap();
                if read == 0 {
                    return got >= size;
                }
                got += read;
                // Being slow is the point here.
                thread::sleep(Duration::from_millis(20));
            }
        });
        assert!(answer.await.unwrap(), "{guest:?}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_one_of_its_responses_is_given_up() {
    side_by_side(Guest::PROBES, async |guest| {
        let cluster = Cluster::start(&[App::probe(guest, 1).more(SHORT)]).await;
        // Of HTTP/2: the connection is read, and its pings are answered; only the body is left alone.
        let mut connection = Connection::open(cluster.addr(), Version::H2).await;
        let unread = connection.begin(request("GET", "/source?bytes=100000000", empty())).await.unwrap();
        assert_eq!(unread.status(), 200);
        eventually("its end", async || cluster.log.count("`write-timeout`") == 1).await;
        assert_eq!(get(cluster.addr(), "/hello").await.status, 200, "{guest:?}");
        // One whose guest is slow is no slow reader.
        let reply = Connection::open(cluster.addr(), Version::H2).await.get("/sleep?ms=1000").await;
        assert_eq!(reply.status, 200, "{guest:?}");
        drop(unread);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_the_end_of_a_response_is_given_up() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1).more(SHORT)]).await;
    let addr = cluster.addr();
    for reads in [true, false] {
        // All of the response is with the worker's connection, and no more than a byte with the client.
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let mut client = http2::Builder::new(TokioExecutor::new());
        let client = client.initial_stream_window_size(1);
        let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let hello = request("GET", &format!("http://{addr}/hello"), empty());
        let response = sender.send_request(hello).await.unwrap();
        assert_eq!(response.status(), 200);
        if reads {
            assert_eq!(response.collect().await.unwrap().to_bytes(), "hello\n");
            assert_eq!(cluster.log.count("`write-timeout`"), 0);
        } else {
            eventually("its end", async || cluster.log.count("`write-timeout`") == 1).await;
            drop(response);
        }
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_a_431() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let worker = cluster.process("worker probe/0");
    let head =
        |headers: &str| format!("GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    is_status(&raw(cluster.addr(), head(&fields(90))).await.0, 200);
    is_status(&raw(cluster.addr(), head(&fields(200))).await.0, 431);
    is_status(&raw(cluster.addr(), head(&format!("x: {}\r\n", "y".repeat(60_000)))).await.0, 200);
    for _ in 0..20 {
        // The answer may be lost, as the rest of the head comes when nobody reads any more.
        let (answer, took) = raw(cluster.addr(), head(&format!("x: {}\r\n", "y".repeat(1 << 20)))).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(took < SOON, "{took:?}");
    }
    // Of HTTP/2 as well.
    for (count, size) in [(200, 1), (1, 70_000)] {
        let mut connection = Connection::open(cluster.addr(), Version::H2).await;
        let mut large = request("GET", "/hello", empty());
        for number in 0..count {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            large.headers_mut().insert(name, "y".repeat(size).parse().unwrap());
        }
        // One that is far too large ends its connection.
        if let Ok(reply) = connection.try_send(large).await {
            assert_eq!(reply.status, 431, "{count} of {size}");
        }
    }
    assert_eq!(get(cluster.addr(), "/hello").await.status, 200);
    let peak = worker.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[tokio::test]
async fn a_head_that_says_two_lengths_is_a_400() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let chunked = "transfer-encoding: chunked\r\n";
    for (headers, body) in [
        ("content-length: 3\r\ncontent-length: 4\r\n".to_owned(), "abc"),
        ("content-length: 3\r\nContent-Length: 3\r\n".to_owned(), "abc"),
        ("content-length: 3, 3\r\n".to_owned(), "abc"),
        (format!("content-length: 3\r\n{chunked}"), "3\r\nabc\r\n0\r\n\r\n"),
        (format!("{chunked}content-length: 3\r\n"), "3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let text = format!("POST /sink HTTP/1.1\r\nhost: a\r\n{headers}\r\n{body}");
        // Also as the second request on its connection.
        let first = "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";
        is_status(&raw(cluster.addr(), text.as_str()).await.0, 400);
        let (both, _) = raw(cluster.addr(), format!("{first}{text}")).await;
        assert_eq!(
            (both.matches("HTTP/1.1 200 ").count(), both.matches("HTTP/1.1 400 ").count()),
            (1, 1),
            "{both}"
        );
    }
    let sound = "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
    is_status(&raw(cluster.addr(), sound).await.0, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413() {
    for guest in Guest::PROBES {
        for instance in ["resident", "per-request"] {
            let keys = format!("workers = 1\ninstance = \"{instance}\"");
            let app = App::new("large").worker(guest, &keys).more("[limits]\nbody-size = \"1MiB\"");
            let cluster = Cluster::start(&[app]).await;
            let addr = cluster.addr();
            let size = 1 << 20;
            assert_eq!(post(addr, "/sink", vec![b'x'; size]).await.json::<Value>(), json!({ "bytes": size }));
            // It says so: the guest is not asked. The body need not even come.
            let head = format!("POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", size + 1);
            is_status(&raw(addr, head).await.0, 413);
            // It does not say so, and never ends.
            for version in [Version::H1, Version::H2] {
                let (mut frames, body) = streamed(1);
                let filling = tokio::spawn(async move {
                    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
                    while frames.send(Frame::data(chunk.clone())).await.is_ok() {}
                });
                let mut connection = Connection::open(addr, version).await;
                // The client may find the connection closed before it looks for the answer.
                match connection.try_send(request("POST", "/sink", body)).await {
                    Ok(reply) => assert_eq!(reply.status, 413, "{guest:?} {instance} {version:?}"),
                    Err(error) => println!("{guest:?} {instance} {version:?}: {error}"),
                }
                drop(connection);
                filling.await.unwrap();
                assert_eq!(get(addr, "/hello").await.status, 200, "{guest:?} {instance}");
            }
            // After the response has begun, its connection ends.
            let mut text = b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for _ in 0..40 {
                text.extend(b"10000\r\n");
                text.extend([b'x'; 0x10000]);
                text.extend(b"\r\n");
            }
            let (answer, _) = raw(addr, text).await;
            assert!(!answer.ends_with("0\r\n\r\n"), "{guest:?} {instance}: it looks whole");
            assert_eq!(cluster.log.count("trapped"), 0, "{guest:?} {instance}");
        }
    }
}

#[tokio::test]
async fn connections_go_elsewhere_while_a_guest_computes() {
    for (balance, instance) in [
        ("round-robin", "resident"),
        ("least-connections", "resident"),
        ("shared", "resident"),
        ("round-robin", "per-request"),
        ("shared", "per-request"),
    ] {
        let keys = format!("workers = 2\nbalance = \"{balance}\"\ninstance = \"{instance}\"");
        let app = App::new("spins").worker(Guest::ProbeP3, &keys).more("[limits]\ncpu-limit = \"10s\"");
        let cluster = Cluster::start(&[app]).await;
        let addr = cluster.addr();
        let spin = tokio::spawn(async move { get(addr, "/spin?ms=2000").await.status });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let until = Instant::now() + Duration::from_millis(1200);
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            clients.spawn(async move {
                let (mut answered, mut slowest) = (0, Duration::ZERO);
                while Instant::now() < until {
                    let begun = Instant::now();
                    assert_eq!(get(addr, "/hello").await.status, 200);
                    slowest = slowest.max(begun.elapsed());
                    answered += 1;
                }
                (answered, slowest)
            });
        }
        let clients = clients.join_all().await;
        let answered: usize = clients.iter().map(|(answered, _)| answered).sum();
        let slowest = clients.iter().map(|(_, slowest)| *slowest).max().unwrap();
        assert!(answered >= 20, "{balance}, {instance}: only {answered} meanwhile");
        assert!(slowest < Duration::from_secs(1), "{balance}, {instance}: one took {slowest:?}");
        assert_eq!(spin.await.unwrap(), 200);
        if balance != "shared" {
            // Of a shared listener it need not hear: the others were there before it looked.
            cluster.log.wait_for("better served elsewhere").await;
        }
        // When all compute, none waits with the master for ever.
        let mut both = JoinSet::new();
        for _ in 0..2 {
            both.spawn(async move { get(addr, "/spin?ms=600").await.status });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(get(addr, "/hello").await.status, 200);
        assert_eq!(both.join_all().await, [200; 2]);
    }
}

#[tokio::test]
async fn more_connections_than_files_are_accepted_in_turn() {
    const CONNECTIONS: usize = 200;
    side_by_side(["round-robin", "shared"], async |balance| {
        let keys = format!("workers = 2\nbalance = \"{balance}\"");
        let app = App::new("few").worker(Guest::ProbeP3, &keys);
        // A worker may have half of them.
        let cluster = Cluster::start_with_few_files(&[app], 128).await;
        let addr = cluster.addr();
        // All are open at once, and each holds its place until it has been answered.
        let mut waiting: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(addr).unwrap()).collect();
        // Not a wait for something: what is measured is a second of nothing.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = cluster.spent();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle = cluster.spent() - before;
        println!("{balance}: {} ms of CPU in a second of waiting, all processes together", idle * 10);
        assert!(idle <= 10, "{balance}: {idle} ticks of CPU in a second of waiting");
        let answered = spawn_blocking(move || {
            for stream in &mut waiting {
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                write!(stream, "GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
            }
            let mut answered = 0;
            for mut stream in waiting {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answered += usize::from(answer.ends_with("hello\n"));
            }
            answered
        });
        assert_eq!(answered.await.unwrap(), CONNECTIONS, "{balance}");
    })
    .await;
}
