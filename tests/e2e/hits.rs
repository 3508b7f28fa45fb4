//! `status --limits` counts what clients and slow starts run into.

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::raw;
use crate::support::{App, Guest, Service, eventually};

/// Hits of a limit of the only app.
async fn hits(service: &Service, key: &str) -> u64 {
    let status = service.status().await;
    let limits = status["apps"][0]["limits"].as_array().unwrap();
    let row = limits.iter().find(|limit| limit["key"] == key).unwrap();
    row["hits"].as_u64().unwrap_or_else(|| panic!("not counted: {row}"))
}

async fn one_more(service: &Service, key: &str, before: u64) {
    eventually(key, async || hits(service, key).await == before + 1).await;
}

#[tokio::test]
async fn clients_past_a_limit_are_counted() {
    let service = Service::new();
    let limits = "header-size = \"8KiB\"\nheader-timeout = \"300ms\"\nwrite-timeout = \"500ms\"";
    let app = App::probe(Guest::ProbeP3, 1).more(&format!("[limits]\n{limits}"));
    service.start(&[&service.write(&app)]).await;
    let addr = service.addr_of("probe").await;
    for key in ["header-size", "header-timeout", "write-timeout"] {
        assert_eq!(hits(&service, key).await, 0, "{key}");
    }
    let large = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let (answer, _) = raw(addr, large).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    one_more(&service, "header-size", 0).await;

    // Half a head, half a preface of HTTP/2, nothing at all.
    for (before, part) in (0..).zip(["GET / HTTP/1.1\r\nhos", "PRI * HT", ""]) {
        assert_eq!(raw(addr, part).await.0, "");
        one_more(&service, "header-timeout", before).await;
    }
    // Who has had an answer, and asks for nothing more, has passed nothing.
    let (answer, _) = raw(addr, "GET /hello HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(answer.ends_with("hello\n"), "{answer}");
    assert_eq!(hits(&service, "header-timeout").await, 3);

    let mut reader = TcpStream::connect(addr).await.unwrap();
    reader.write_all(b"GET /source?bytes=1000000000 HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    one_more(&service, "write-timeout", 0).await;
    drop(reader);
    assert_eq!(hits(&service, "header-size").await, 1);
}

#[tokio::test]
async fn starts_that_take_too_long_are_counted() {
    let service = Service::new();
    service.start(&[&service.write(&App::probe(Guest::ProbeP3, 1))]).await;
    assert_eq!(hits(&service, "start-timeout").await, 0);
    let keys = "workers = 1\nenvironment = { START = \"hang\" }";
    let slow = App::new("probe").version("2.0.0").worker(Guest::ProbeP3, keys);
    let folder = service.write_to("slow", &slow.more("[limits]\nstart-timeout = \"1s\""));
    let error = service.fails(&["deploy", &folder]).await;
    assert!(error.contains("within 1s"), "{error}");
    one_more(&service, "start-timeout", 0).await;
    let status: Value = service.status().await;
    assert_eq!(status["apps"][0]["generation"], 1, "the former one goes on");
}
