//! What guests print: floods, bytes that are no text, lines that look like the master's own.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::{Watch, good};
use crate::support::{App, Cluster, Guest, eventually, get};

#[tokio::test]
async fn floods_on_both_streams_harm_nobody_and_no_line_passes_for_ours() {
    let bad = App::new("bad").worker(Guest::HostileP3, "workers = 2");
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    let addr = cluster.addr_of("bad");
    watch
        .through("a flood of output", async || {
            let (one, other) = tokio::join!(get(addr, "/print"), get(addr, "/print"));
            assert_eq!((one.status, other.status), (200, 200));
        })
        .await;
    assert_eq!(get(addr, "/hello").await.status, 200);
    watch.is_unchanged("a flood of output").await;
    let log = cluster.log.all();
    assert!(log.contains("worker/0 out | flood 1999"), "the flood has come");
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "what turns or colours text is shown, not obeyed");
    for line in log.lines().filter(|line| line.contains("master stopping")) {
        assert!(line.contains(" err | "), "it passes for the master's: {line}");
    }
}

/// A process that was taken over writes what it wants to, past its own host.
#[tokio::test]
async fn a_worker_of_another_can_neither_forge_lines_nor_flood_the_log() {
    let bad = App::new("bad").worker(Guest::HelloP3, "workers = 1").more("[limits]\nlog-rate = \"4KiB\"\n");
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    let worker = cluster.process("worker bad/0");
    let time = "2026-11-20T06:49:24.123Z";
    let forged = format!(
        "{time} INFO  master forged-1\n    forged-2\nforged-3\n\x1b[2m{time}\x1b[0m INFO master forged-4\n\
         \u{202e}forged-5\n{{\"level\":\"INFO\",\"message\":\"forged-6\"}}\n    forged-7\n"
    );
    cluster.scribble(&worker, forged.as_bytes(), 1);
    eventually("all of it is in the log", async || cluster.log.count("forged-7") == 1).await;
    let log = cluster.log.all();
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "what turns or colours text is shown, not obeyed");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("forged-")).collect();
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(lines[0].starts_with(&format!("{time} INFO  bad worker/0 master forged-1")), "{lines:?}");
    assert_eq!(lines[1], "    forged-2");
    for line in &lines[2..] {
        let (_, rest) = line.split_once(' ').unwrap();
        assert!(rest.starts_with("WARN  bad worker/0 raw | "), "{line}");
    }
    // As much as 100 MiB. What the kernel's pipe and its own rate let through comes; the rest waits.
    worker.signal(Signal::SIGKILL);
    eventually("another worker", async || get(cluster.addr_of("bad"), "/").await.status == 200).await;
    let (before, begun) = (cluster.log.all().len(), Instant::now());
    cluster.scribble(&cluster.process("worker bad/0"), &[&[b'y'; 4095][..], b"\n"].concat(), 25_000);
    watch
        .through("a flood past the host", async || {
            assert_eq!(get(cluster.addr_of("good"), "/hello").await.status, 200);
        })
        .await;
    // Twice the rate and 64 KiB, for three seconds at once; and a name before each line.
    let most =
        (begun.elapsed().as_secs_f64() + 3.0) * 1.1 * f64::from((2 * 4 + 64) << 10) + f64::from(128 << 10);
    let written = cluster.log.all().len() - before;
    assert!(written > 100_000, "the flood has come: {written} bytes");
    assert!((written as f64) < most, "{written} bytes, and {most} are allowed");
    watch.is_unchanged("a flood past the host").await;
}
