//! A worker that is not ours any more: what it sends on its control socket. It is killed for that, with a
//! reason of its own, and replaced; nobody else notices.

use std::time::Duration;

use bytes::BytesMut;
use hatchery::{
    cluster::{Action, Target},
    ipc::{
        codec,
        message::{CheckId, QuestionId, RunId, ToMaster},
    },
    manifest::RunOn,
};

use super::{Watch, good};
use crate::support::{App, Cluster, Guest, eventually, get};

/// Workers that are killed in turn: each has a back-off of its own, which grows with every kill.
const SLOTS: usize = 4;

fn frame(frame: &ToMaster, data: &[u8]) -> Vec<u8> {
    let mut buf = BytesMut::new();
    codec::encode(&mut buf, frame, data).unwrap();
    buf.to_vec()
}

fn send(data: &[u8]) -> Vec<u8> {
    let action = Action::try_from("a".to_owned()).unwrap();
    frame(&ToMaster::Send { to: Target::App, action }, data)
}

fn nothing() -> Vec<u8> {
    frame(&ToMaster::Consumed { messages: 0, bytes: 0 }, b"")
}

#[tokio::test]
async fn a_worker_that_breaks_the_protocol_is_killed_and_replaced() {
    let bad = App::new("bad").worker(Guest::HelloP3, &format!("workers = {SLOTS}"));
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    let task = ToMaster::RunTask { run: RunId(1), name: "t".to_owned(), on: RunOn::All, has_payload: false };
    let done = ToMaster::TaskDone { run: RunId(7), elapsed: Duration::ZERO, result: Ok(()) };
    let cases = [
        ("one fd", nothing(), 1, "sent a file descriptor that nobody asked for"),
        ("as many fds as there may be", nothing(), 253, "sent a file descriptor that nobody asked for"),
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0, "longer than the limit"),
        ("a length past all bounds", vec![255; 8], 0, "longer than the limit"),
        ("hello", frame(&ToMaster::Hello { protocol: 2 }, b""), 0, "said hello twice"),
        ("ready", frame(&ToMaster::Ready, b""), 0, "sent a frame of its start"),
        ("more data than it may", send(&vec![0; (1 << 20) + 1]), 0, "more data than limits.message-size"),
        (
            "an answer to nothing",
            frame(&ToMaster::Answer { question: QuestionId(9), outcome: Ok(()) }, b""),
            0,
            "answered a question that it was not asked",
        ),
        ("the end of no task", frame(&done, b""), 0, "ended a task that it was not given"),
        ("the agent's part", frame(&task, b""), 0, "asked for a task though it is not the agent"),
        (
            "messages consumed that it was not sent",
            frame(&ToMaster::Consumed { messages: 1, bytes: 1 }, b""),
            0,
            "consumed more messages than it was sent",
        ),
        (
            "data where there is none",
            frame(&ToMaster::Checked { check: CheckId(1), result: Ok(200) }, b"x"),
            0,
            "sent 1 bytes of data with a frame that has none",
        ),
    ];
    for (number, (what, bytes, fds, reason)) in cases.into_iter().enumerate() {
        let slot = format!("worker bad/{}", number % SLOTS);
        let before = cluster.process(&slot);
        let said = cluster.log.count("broke the protocol");
        cluster.misbehave(&before, &bytes, 1, fds);
        eventually(what, async || cluster.log.count("broke the protocol") > said).await;
        let lines = cluster.log.with("broke the protocol");
        assert!(lines.iter().skip(said).any(|line| line.contains(reason)), "{what}: {lines:?}");
        eventually("another worker", async || {
            cluster.processes_of(&slot).iter().any(|now| now.id != before.id)
                && get(cluster.addr_of("bad"), "/hello").await.status == 200
        })
        .await;
        assert!(!before.lives(), "{what}");
    }
    eventually("a crash report of each", async || cluster.reports("bad").len() >= 12).await;
    let reports = cluster.reports("bad");
    let reasons: Vec<_> = reports.iter().filter_map(|(_, report)| report["reason"].as_str()).collect();
    assert!(reasons.iter().all(|reason| reason.starts_with("broke the protocol: ")), "{reasons:?}");
    assert_eq!(reasons.len(), 12, "{reasons:?}");
    watch.is_unchanged("all that").await;
}

/// Half a frame, and then nothing: it waits for nobody but itself.
#[tokio::test]
async fn half_a_frame_and_a_flood_hold_nobody_up() {
    let bad = App::new("bad").worker(Guest::HelloP3, "workers = 1");
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    let worker = cluster.process("worker bad/0");
    // Valid, and as many as its socket takes.
    let flood = nothing().repeat(100);
    cluster.misbehave(&worker, &flood, 20_000, 0);
    watch
        .through("a flood of frames", async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
        })
        .await;
    assert!(worker.lives(), "what is right is no reason");
    watch.is_unchanged("a flood of frames").await;
}
