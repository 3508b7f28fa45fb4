//! HTTP: responses and requests that are made to confuse. Slow and large ones, and two lengths in one head,
//! are in `e2e::overload`.

use serde_json::Value;

use super::{Watch, good};
use crate::{
    e2e::raw,
    support::{App, Cluster, Guest, get},
};

#[tokio::test]
async fn a_hundred_thousand_response_headers_end_with_their_request() {
    for guest in [Guest::HostileP3, Guest::HostileP2] {
        let limits = "[limits]\nmemory = \"64MiB\"\ntrap-limit = 10000";
        let bad = App::new("bad").worker(guest, "workers = 1").more(limits);
        let cluster = Cluster::start(&[bad, good()]).await;
        let watch = Watch::of(&cluster);
        let worker = cluster.process("worker bad/0");
        let addr = cluster.addr_of("bad");
        let mut seen = String::new();
        watch
            .through("a hundred thousand response headers", async || {
                let reply = get(addr, "/headers").await;
                assert!(reply.status == 200 || reply.status == 500, "{}", reply.status);
                seen = format!("{} {}", reply.status, reply.text());
                if reply.status == 200 {
                    let taken = reply.json::<Value>()["headers"].as_u64().unwrap();
                    assert!(taken < 100_000, "the host takes them all");
                }
            })
            .await;
        println!("{guest:?}: {seen}; the worker's peak is {} MiB", worker.peak_memory() >> 10);
        assert_eq!(get(addr, "/hello").await.status, 200);
        assert_eq!(cluster.process("worker bad/0"), worker, "the same process goes on");
        watch.is_unchanged("response headers").await;
    }
}

/// Two readers of one stream must not see different requests in it: what one takes for a body another must not
/// take for a request. Each of these has to be refused, or read so that nothing of its body is a request.
#[tokio::test]
async fn nothing_is_smuggled() {
    let hidden = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let chunked = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let zero = format!("0\r\n\r\n{hidden}");
    let long = format!("ffffffffffffffff1\r\n{hidden}");
    let cases: &[(&str, &str, &str)] = &[
        ("both lengths, the first counts", "content-length: 5\r\ntransfer-encoding: chunked\r\n", &zero),
        ("both lengths, turned round", "transfer-encoding: chunked\r\ncontent-length: 5\r\n", &zero),
        ("a coding that is not known", "transfer-encoding: xchunked\r\n", &zero),
        ("chunked, but not last", "transfer-encoding: chunked, identity\r\n", &zero),
        ("chunked twice", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", &zero),
        ("a space before the colon", "transfer-encoding : chunked\r\ncontent-length: 5\r\n", &zero),
        ("a folded line", "x: y\r\n transfer-encoding: chunked\r\ncontent-length: 5\r\n", &zero),
        ("a vertical tab", "transfer-encoding:\u{b}chunked\r\ncontent-length: 5\r\n", &zero),
        ("a NUL", "transfer-encoding: chunked\0\r\ncontent-length: 5\r\n", &zero),
        ("a bare CR", "x: y\rtransfer-encoding: chunked\r\ncontent-length: 5\r\n", &zero),
        ("a length with a sign", "content-length: +5\r\n", &zero),
        ("a length in hex", "content-length: 0x5\r\n", &zero),
        ("a length below nothing", "content-length: -1\r\n", hidden),
        ("a length past all bounds", "content-length: 18446744073709551616\r\n", hidden),
        ("two lengths in a list", "content-length: 0, 40\r\n", hidden),
        ("a chunk past all bounds", "transfer-encoding: chunked\r\n", &long),
        ("a chunk's length with a sign", "transfer-encoding: chunked\r\n", "+5\r\nabcde\r\n0\r\n\r\n"),
        ("a chunk that ends too late", "transfer-encoding: chunked\r\n", "3\r\nabcde\r\n0\r\n\r\n"),
    ];
    let cluster = Cluster::start(&[App::new("bad").worker(Guest::ProbeP3, "workers = 1"), good()]).await;
    let watch = Watch::of(&cluster);
    let addr = cluster.addr_of("bad");
    for (what, headers, body) in cases {
        let text = format!("POST /sink HTTP/1.1\r\nhost: a\r\n{headers}\r\n{body}");
        let (answer, _) = raw(addr, text).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1 && !answer.contains(" 404 "), "{what}: {answer}");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
    }
    // One that is right has its body, and what follows is the next request.
    let last = hidden.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let text = format!("POST /sink HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunked}{last}");
    let (answer, _) = raw(addr, text).await;
    assert!(answer.contains(&format!("{{\"bytes\":{}}}", hidden.len())), "{answer}");
    assert!(answer.contains("HTTP/1.1 404 "), "{answer}");
    watch.is_unchanged("requests in requests").await;
}
