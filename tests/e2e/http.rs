//! Requests and responses: versions of HTTP and of WASI, streams, trailers, residency, concurrency.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::SinkExt as _;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    App, Body, Cluster, Connection, Guest, Version, empty, full, get, post, request, streamed,
};

const VERSIONS: [Version; 2] = [Version::H1, Version::H2];

#[tokio::test]
async fn components_that_know_nothing_of_us_run() {
    for guest in [Guest::HelloP2, Guest::HelloP3] {
        for instance in ["resident", "per-request"] {
            let keys = format!("workers = 2\ninstance = \"{instance}\"");
            let cluster = Cluster::start(&[App::new("hello").worker(guest, &keys)]).await;
            for version in VERSIONS {
                let mut connection = Connection::open(cluster.addr(), version).await;
                for _ in 0..3 {
                    let reply = connection.get("/any/path").await;
                    assert_eq!((reply.status, reply.text()), (200, "Hello, world"));
                    assert_eq!(reply.header("content-type"), "text/plain");
                }
            }
        }
    }
}

#[tokio::test]
async fn one_port_speaks_both_versions_and_connections_stay_open() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 2)]).await;
        for version in VERSIONS {
            // One connection stays with one worker; its instance stays too, and counts.
            let mut connection = Connection::open(cluster.addr(), version).await;
            let before: Value = connection.get("/count").await.json();
            let before = before["count"].as_u64().unwrap();
            for number in before + 1..before + 20 {
                assert_eq!(connection.get("/count").await.json::<Value>(), json!({ "count": number }));
            }
        }
    }
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        for version in VERSIONS {
            let mut connection = Connection::open(cluster.addr(), version).await;
            let mut request = request("GET", "/headers", empty());
            request.headers_mut().insert("x-one", "1".parse().unwrap());
            request.headers_mut().append("x-two", "a".parse().unwrap());
            request.headers_mut().append("x-two", "b".parse().unwrap());
            let headers: Value = connection.send(request).await.json();
            assert_eq!((&headers["x-one"], &headers["x-two"]), (&json!("1"), &json!("a, b")), "{version:?}");
            assert_eq!(connection.get("/nowhere").await.status, 404);
        }
        let text = "ünicode and \0 bytes".as_bytes();
        assert_eq!(post(cluster.addr(), "/echo", text).await.body, text);
    }
}

/// Sends one chunk at a time and the next one only when the former has come back.
async fn ping_pong(connection: &mut Connection) {
    let (mut chunks, body) = streamed(1);
    let mut next = async |text: &'static str| {
        chunks.send(Frame::data(Bytes::from_static(text.as_bytes()))).await.unwrap();
    };
    next("first,").await;
    let mut response = connection.begin(request("POST", "/echo", body)).await.unwrap();
    assert_eq!(response.status(), 200);
    for (number, text) in ["first,", "second,", "third."].into_iter().enumerate() {
        if number > 0 {
            next(text).await;
        }
        let mut got = Vec::new();
        while got.len() < text.len() {
            got.extend(response.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(got, text.as_bytes());
    }
    drop(chunks);
    assert_eq!(response.collect().await.unwrap().to_bytes(), Bytes::new());
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    // A WASI 0.2 guest streams too: it blocks on its own reads and writes only.
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        for version in VERSIONS {
            let mut connection = Connection::open(cluster.addr(), version).await;
            let limit = Duration::from_secs(20);
            let done = tokio::time::timeout(limit, ping_pong(&mut connection)).await;
            assert!(done.is_ok(), "{guest:?} {version:?}: the first bytes did not come back");
        }
    }
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let size = 8 << 20;
    let data: Bytes = (0..size).map(|n: u32| (n % 251) as u8).collect();
    for guest in Guest::PROBES {
        for instance in ["resident", "per-request"] {
            let keys = format!("workers = 1\ninstance = \"{instance}\"");
            let cluster = Cluster::start(&[App::new("large").worker(guest, &keys)]).await;
            for version in VERSIONS {
                let mut connection = Connection::open(cluster.addr(), version).await;
                let reply = connection.send(request("POST", "/echo", full(data.clone()))).await;
                assert_eq!(reply.status, 200);
                assert!(reply.body == data, "{guest:?} {instance} {version:?}: {} bytes", reply.body.len());
                let reply = connection.send(request("POST", "/sink", full(data.clone()))).await;
                assert_eq!(reply.json::<Value>(), json!({ "bytes": size }));
                let reply = connection.get(&format!("/source?bytes={size}")).await;
                assert_eq!(reply.body.len(), size as usize);
            }
        }
    }
}

#[tokio::test]
async fn trailers_go_both_ways() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        for version in VERSIONS {
            let mut connection = Connection::open(cluster.addr(), version).await;
            let mut trailers = request("GET", "/trailers", empty());
            trailers.headers_mut().insert("te", "trailers".parse().unwrap());
            let reply = connection.send(trailers).await;
            assert_eq!(reply.text(), "a trailer follows\n");
            assert_eq!(reply.trailers["x-probe"], "done", "{guest:?} {version:?}");

            let (mut frames, body) = streamed(4);
            let mut echo = request("POST", "/echo", body);
            echo.headers_mut().insert("te", "trailers".parse().unwrap());
            echo.headers_mut().insert("trailer", "x-mine".parse().unwrap());
            frames.send(Frame::data(Bytes::from_static(b"body"))).await.unwrap();
            let mut mine = HeaderMap::new();
            mine.insert("x-mine", "too".parse().unwrap());
            frames.send(Frame::trailers(mine)).await.unwrap();
            drop(frames);
            let reply = connection.send(echo).await;
            assert_eq!(reply.text(), "body");
            assert_eq!(reply.trailers["x-mine"], "too", "{guest:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn sleeping_requests_share_one_03_instance() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let mut connections = Vec::new();
    for _ in 0..200 {
        connections.push(Connection::open(cluster.addr(), Version::H1).await);
    }
    connections[0].get("/hello").await;
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for mut connection in connections {
        under_way.spawn(async move { connection.get("/sleep?ms=200").await.status });
    }
    let statuses = under_way.join_all().await;
    let elapsed = begun.elapsed();
    assert_eq!(statuses, [200; 200]);
    println!("200 requests of 200 ms took {elapsed:?}");
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}

#[tokio::test]
async fn a_02_instance_takes_one_at_a_time_and_the_queue_is_bounded() {
    let app = App::new("serial").worker(Guest::ProbeP2, "workers = 1\nqueued-requests = 3");
    let cluster = Cluster::start(&[app]).await;
    let mut connections = Vec::new();
    for _ in 0..10 {
        connections.push(Connection::open(cluster.addr(), Version::H1).await);
    }
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for mut connection in connections {
        under_way.spawn(async move { connection.get("/sleep?ms=500").await });
    }
    let replies = under_way.join_all().await;
    let (answered, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    // One with the guest and three that wait.
    assert_eq!((answered.len(), refused.len()), (4, 6));
    assert!(begun.elapsed() >= Duration::from_secs(2), "they did not wait for each other");
    for reply in refused {
        assert_eq!(reply.status, 503);
        assert!(reply.header("retry-after").parse::<u32>().is_ok(), "{:?}", reply.headers);
    }
}

#[tokio::test]
async fn a_resident_instance_remembers_and_one_per_request_does_not() {
    for guest in Guest::PROBES {
        for (instance, counts) in [("resident", [1, 2, 3]), ("per-request", [1, 1, 1])] {
            let keys = format!("workers = 1\ninstance = \"{instance}\"");
            let cluster = Cluster::start(&[App::new("counts").worker(guest, &keys)]).await;
            for count in counts {
                let reply = get(cluster.addr(), "/count").await.json::<Value>();
                assert_eq!(reply, json!({ "count": count }), "{guest:?} {instance}");
            }
        }
    }
}

#[tokio::test]
async fn a_thousand_small_requests_leave_nothing_behind() {
    // A store that leaked a handle for each would trap, and its count begin anew.
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let mut connection = Connection::open(cluster.addr(), Version::H1).await;
    for number in 1..=1000 {
        let request: Request<Body> = request("GET", "/count", empty());
        assert_eq!(connection.send(request).await.json::<Value>()["count"], number);
    }
}
