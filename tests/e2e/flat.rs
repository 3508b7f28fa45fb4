//! Memory under clients that send too much, too slowly, or two things at once: what a few of them take
//! is what many of them take.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use futures::future::join_all;
use tokio::task::JoinSet;

use super::overload::raw;
use crate::support::{App, Cluster, Guest, eventually, get};

/// Clients at once.
const CLIENTS: usize = 64;

/// Rounds of them, after which memory is what it is; and then further ones, which must not add to it.
const FIRST: usize = 3;
const FURTHER: usize = 12;

/// What the further ones may add at most, in KiB: 11 KiB for each connection. How many of them hold what
/// they may at the same moment differs from round to round.
const MORE: u64 = 8 << 10;

pub(crate) const LIMITS: &str = "[limits]
header-timeout = \"300ms\"
body-timeout = \"300ms\"
write-timeout = \"300ms\"
body-size = \"1MiB\"";

/// Within which each client has its answer or its end.
const SOON: Duration = Duration::from_secs(10);

/// What a client sends, and what it may get: a status, or nothing, as it is closed.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) sends: Vec<u8>,
    pub(crate) gets: &'static [&'static str],
}

/// The answer may be lost where the client still writes when it is closed.
pub(crate) fn cases() -> Vec<Case> {
    let case = |what, sends: String, gets| Case { what, sends: sends.into(), gets };
    let post = |head: &str, body: &str| format!("POST /sink HTTP/1.1\r\nhost: a\r\n{head}\r\n{body}");
    let get = |head: &str| format!("GET /hello HTTP/1.1\r\nhost: a\r\n{head}");
    let fields: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let chunks = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(40);
    vec![
        case("a slow head", get("x: "), &[""]),
        case("a slow body", post("content-length: 100000\r\n", &"x".repeat(50_000)), &["408"]),
        case("1 MB of headers", get(&format!("x: {}\r\n\r\n", "y".repeat(1 << 20))), &["", "431"]),
        case("200 headers", get(&format!("{fields}\r\n")), &["431"]),
        case("two lengths", post("content-length: 3\r\ncontent-length: 4\r\n", "abc"), &["400"]),
        case(
            "a length and chunks",
            post("content-length: 3\r\ntransfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            &["400"],
        ),
        case("chunks past the limit", post("transfer-encoding: chunked\r\n", &chunks), &["", "413"]),
    ]
}

#[tokio::test]
async fn memory_is_flat_under_hostile_clients() {
    let (slow, quick): (Vec<_>, Vec<_>) = cases().into_iter().partition(|case| case.what.contains("slow"));
    // Those that wait do so beside the others.
    let quick = async {
        for case in quick {
            is_flat_in(case).await;
        }
    };
    tokio::join!(join_all(slow.into_iter().map(is_flat_in)), quick);
}

async fn is_flat_in(case: Case) {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1).more(LIMITS)]).await;
    is_flat(&cluster, case.what, async || {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (addr, sends) = (cluster.addr(), case.sends.clone());
            clients.spawn(async move { raw(addr, sends).await });
        }
        for (answer, took) in clients.join_all().await {
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(case.gets.contains(&status), "{}: {answer:?}", case.what);
            assert!(took < SOON, "{}: {took:?}", case.what);
        }
    })
    .await;
}

#[tokio::test]
async fn memory_is_flat_under_clients_that_do_not_read() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1).more(LIMITS)]).await;
    is_flat(&cluster, "slow readers", async || {
        let before = cluster.log.count("`write-timeout`");
        let streams: Vec<_> = (0..CLIENTS).map(|_| does_not_read(cluster.addr())).collect();
        cluster.log.wait_for_count("`write-timeout`", before + CLIENTS).await;
        drop(streams);
    })
    .await;
}

/// One that wants much, and takes nothing.
fn does_not_read(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET /source?bytes=100000000 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    stream
}

/// The worker's peak after the first rounds is nearly its peak after all, and it goes on.
async fn is_flat(cluster: &Cluster, what: &str, round: impl AsyncFn()) {
    let worker = cluster.process("worker probe/0");
    for _ in 0..FIRST {
        round().await;
    }
    let first = worker.peak_memory();
    for _ in 0..FURTHER {
        round().await;
    }
    let all = worker.peak_memory();
    println!(
        "{what}, {CLIENTS} at once: peak {} MiB, after {FURTHER} more rounds {} MiB",
        first >> 10,
        all >> 10
    );
    assert!(all <= first + MORE, "{what}: from {first} to {all} KiB");
    eventually("an answer", async || get(cluster.addr(), "/hello").await.status == 200).await;
    assert_eq!(cluster.process("worker probe/0"), worker, "{what}");
}
