//! A child's manners and its end, with a socket pair and small processes of the system.

use std::{os::fd::OwnedFd, process::Command};

use tokio::io::AsyncWriteExt;

use super::*;
use crate::ipc::link::{from_fd, split};

/// Far more than any of these takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn hello() -> ToMaster {
    ToMaster::Hello { protocol: PROTOCOL }
}

fn failed() -> ToMaster {
    ToMaster::StartFailed { reason: "no such import".to_owned() }
}

fn show(what: &Happening) -> String {
    match what {
        Happening::Ready => "ready".to_owned(),
        Happening::Failed(reason) => format!("failed: {reason}"),
        Happening::Frame(..) => "frame".to_owned(),
        Happening::Exited(reason) => format!("exited: {reason}"),
    }
}

#[test]
fn manners_as_a_table() {
    let ready = || ToMaster::Ready;
    let old = || ToMaster::Hello { protocol: 0 };
    let cases: &[(Vec<ToMaster>, &[&str])] = &[
        (vec![hello(), ready()], &["ready"]),
        (vec![hello(), failed()], &["failed: no such import"]),
        (vec![ready()], &["failed: did not say hello first"]),
        (vec![failed()], &["failed: did not say hello first"]),
        (vec![old()], &["failed: speaks protocol 0 and not 2: the binary was replaced; restart hatchery"]),
        // The router refuses these.
        (vec![hello(), hello()], &["frame"]),
        (vec![hello(), ready(), ready()], &["ready", "frame"]),
        (vec![hello(), ready(), failed()], &["ready", "frame"]),
    ];
    for (frames, expected) in cases {
        let mut manners = Manners::default();
        let frames = frames.iter().cloned();
        let seen: Vec<_> = frames.filter_map(|frame| manners.check(frame, Bytes::new())).collect();
        assert_eq!(seen.iter().map(show).collect::<Vec<_>>(), *expected);
    }
}

/// What the master hears of a child that writes this and closes its socket.
async fn reads(frames: &[ToMaster], raw: &[u8]) -> Vec<String> {
    let (ours, theirs): (_, OwnedFd) = link::pair().expect("a socket");
    let (reader, _sender, _writer) = split::<ToMaster, ToChild>(ours, link::Options::default());
    let mut theirs = from_fd(theirs).expect("a socket");
    let mut bytes = bytes::BytesMut::new();
    for frame in frames {
        crate::ipc::codec::encode(&mut bytes, frame, b"").expect("encodes");
    }
    theirs.write_all(&bytes).await.expect("written");
    theirs.write_all(raw).await.expect("written");
    drop(theirs);
    let (events, mut seen) = mpsc::channel(MAX_EVENTS);
    let witness = Arc::new(Witness::new(Who::nobody(), blackbox::create().expect("memory")));
    timeout(DEADLINE, read(Pid(1), reader, events, witness)).await.expect("it ends");
    let mut all = vec![];
    while let Some(event) = seen.recv().await {
        assert_eq!(event.pid, Pid(1));
        all.push(show(&event.what));
    }
    all
}

#[tokio::test]
async fn garbage_is_a_failure() {
    assert_eq!(reads(&[hello(), ToMaster::Ready], b"").await, ["ready"]);
    let after = reads(&[hello(), ToMaster::Ready], b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(after.len() == 2 && after[1].starts_with("failed: the peer broke the protocol"), "{after:?}");
    let at_once = reads(&[], &[255; 64]).await;
    assert!(at_once.len() == 1 && at_once[0].starts_with("failed: "), "{at_once:?}");
    let cut = reads(&[hello()], &[6, 0, 0, 0, 1]).await;
    assert_eq!(cut, ["failed: the link ended in the middle of a frame"]);
    assert_eq!(reads(&[], b"").await, [""; 0]);
}

/// The end of a process whose socket is open for ever, or closed.
#[expect(clippy::zombie_processes, reason = "it is waited for by its pidfd")]
async fn ends(script: &str, closed: bool, kill: bool) -> String {
    let process = Command::new("/bin/sh").args(["-c", script]).spawn().expect("sh");
    let process = Process::of(&process).expect("it is there");
    let reading = tokio::spawn(async move {
        if !closed {
            std::future::pending::<()>().await;
        }
    });
    let notify = Notify::new();
    if kill {
        notify.notify_one();
    }
    let end = timeout(DEADLINE, watch(process, reading, &notify)).await.expect("it ends");
    assert_eq!(end.killed, kill);
    exit::reason(end.status)
}

#[tokio::test]
async fn ends_as_a_table() {
    assert_eq!(ends("exit 3", true, false).await, "exit code 3");
    assert_eq!(ends("exit 0", false, false).await, "exit code 0", "last words are not waited for for ever");
    assert_eq!(ends("sleep 100", false, true).await, "signal 9 (SIGKILL)");
    assert_eq!(ends("sleep 100", true, false).await, "signal 9 (SIGKILL)", "a closed socket is the end");
    assert_eq!(ends("kill -SEGV $$", true, false).await, "signal 11 (SIGSEGV)");
}
