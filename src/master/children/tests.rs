//! A child's manners and its end, with a socket pair and small processes of the system.

use std::{
    io::Write as _,
    os::fd::OwnedFd,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    hear::read,
    life::{Life, watch},
    *,
};
use crate::{
    cluster::{Action, Role, Target},
    ipc::{
        codec::encode,
        link::{from_fd, split},
        message::PROTOCOL,
    },
    master::{
        exit,
        turns::{MESSAGES, Turns},
    },
    sys::spawn::Child as Process,
};

/// Far more than any of these takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn hello() -> ToMaster {
    ToMaster::Hello { protocol: PROTOCOL }
}

fn failed() -> ToMaster {
    ToMaster::StartFailed { reason: "no such import".to_owned() }
}

fn events() -> (Events, mpsc::Receiver<ChildEvent>) {
    let (to, seen) = mpsc::channel(MAX_EVENTS);
    (Events::new(to, Share::alone()), seen)
}

fn witness() -> Arc<Witness> {
    Arc::new(Witness::new(Who::nobody(), blackbox::create().expect("memory")))
}

fn show(what: &Happening) -> String {
    match what {
        Happening::Ready => "ready".to_owned(),
        Happening::Failed(reason) => format!("failed: {reason}"),
        Happening::Frame(..) => "frame".to_owned(),
        Happening::Exited(reason) => format!("exited: {reason}"),
    }
}

/// What the master hears of a child that writes this and closes its socket.
async fn reads(frames: &[ToMaster], raw: &[u8]) -> Vec<String> {
    let (ours, theirs): (_, OwnedFd) = link::pair().expect("a socket");
    let (reader, _sender, _writer) = split::<ToMaster, ToChild>(ours, link::Options::default());
    let mut theirs = from_fd(theirs).expect("a socket");
    let mut bytes = bytes::BytesMut::new();
    for frame in frames {
        encode(&mut bytes, frame, b"").expect("encodes");
    }
    theirs.write_all(&bytes).await.expect("written");
    theirs.write_all(raw).await.expect("written");
    drop(theirs);
    let (events, mut seen) = events();
    let manners = Manners::new(Role::Worker);
    timeout(DEADLINE, read(Pid(1), reader, manners, events, witness())).await.expect("it ends");
    let mut all = vec![];
    while let Some(event) = seen.recv().await {
        assert_eq!(event.pid, Pid(1));
        all.push(show(&event.what));
    }
    all
}

#[tokio::test]
async fn what_is_sent_as_a_table() {
    let ready = || ToMaster::Ready;
    let send = |action: &str| ToMaster::Send {
        to: Target::Broadcast,
        action: Action::try_from(action.to_owned()).expect("an action"),
    };
    // As `send`, but its action is what no action may be.
    let mut reserved = bytes::BytesMut::new();
    encode(&mut reserved, &send("xatchery.stop"), b"").expect("encodes");
    let at = reserved.iter().position(|byte| *byte == b'x').expect("its action");
    reserved[at] = b'h';
    let mut control = reserved.clone();
    control[at..at + 2].copy_from_slice(b"a\0");
    let mut not_utf8 = reserved.clone();
    not_utf8[at] = 0xff;
    let broke = "failed: broke the protocol: ";
    /// What it is, the frames, the bytes after them, and what the master hears.
    type Case<'c> = (&'c str, &'c [ToMaster], &'c [u8], &'c [&'c str]);
    let cases: &[Case<'_>] = &[
        ("nothing", &[], b"", &[]),
        ("an honest one", &[hello(), ready(), send("a")], b"", &["ready", "frame"]),
        ("one that can't start", &[hello(), failed()], b"", &["failed: no such import"]),
        ("HTTP", &[hello(), ready()], b"GET / HTTP/1.1\r\n\r\n", &["ready", "BROKE sent a frame of "]),
        ("a length past all bounds", &[], &[255; 64], &["BROKE sent a frame of 4294967295 bytes"]),
        ("a length that is none", &[hello()], &[3, 0, 0, 0], &["BROKE sent a frame of 3 bytes has no"]),
        (
            "an envelope past its frame",
            &[hello()],
            &[8, 0, 0, 0, 5, 0, 0, 0],
            &["BROKE sent an envelope of 5 bytes in a frame of 8"],
        ),
        (
            "an unknown variant",
            &[hello()],
            &[5, 0, 0, 0, 1, 0, 0, 0, 99],
            &["BROKE sent an envelope that can't be decoded"],
        ),
        (
            "bytes after the envelope's end",
            &[hello()],
            &[6, 0, 0, 0, 2, 0, 0, 0, 1, 1],
            &["BROKE sent an envelope with 1 bytes too many"],
        ),
        (
            "a reserved action",
            &[hello(), ready()],
            &reserved,
            &["ready", "BROKE sent an envelope that can't be decoded"],
        ),
        (
            "an action with NUL",
            &[hello(), ready()],
            &control,
            &["ready", "BROKE sent an envelope that can't be decoded"],
        ),
        (
            "an action of no UTF-8",
            &[hello(), ready()],
            &not_utf8,
            &["ready", "BROKE sent an envelope that can't be decoded"],
        ),
        (
            "a frame that is cut",
            &[hello()],
            &[6, 0, 0, 0, 1],
            &["failed: the link ended in the middle of a frame"],
        ),
        ("ready before hello", &[ready()], b"", &["BROKE did not say hello first"]),
        ("hello twice", &[hello(), hello(), ready()], b"", &["BROKE said hello twice"]),
        ("data with hello", &[], &[7, 0, 0, 0, 2, 0, 0, 0, 0, 2, 9], &["BROKE sent 1 bytes of data"]),
    ];
    for (what, frames, raw, expected) in cases {
        let seen = reads(frames, raw).await;
        assert_eq!(seen.len(), expected.len(), "{what}: {seen:?}");
        for (seen, expected) in seen.iter().zip(*expected) {
            let expected = expected.replace("BROKE ", broke);
            assert!(seen.starts_with(&expected), "{what}: {seen}, not {expected}");
        }
    }
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn fds_that_nobody_asked_for_are_the_end() {
    let (ours, theirs) = link::pair().expect("a socket");
    let (reader, _sender, _writer) = split::<ToMaster, ToChild>(ours, link::Options::default());
    let mut bytes = bytes::BytesMut::new();
    encode(&mut bytes, &hello(), b"").expect("encodes");
    let (events, mut seen) = events();
    let reading = tokio::spawn(read(Pid(1), reader, Manners::new(Role::Worker), events, witness()));
    let socket = std::os::unix::net::UnixStream::from(theirs);
    // Whole and right but for what comes with it.
    crate::sys::misbehave::send(&socket, &bytes, 3).expect("sent");
    let event = timeout(DEADLINE, seen.recv()).await.expect("in time").expect("an event");
    let expected = "failed: broke the protocol: sent a file descriptor that nobody asked for";
    assert_eq!(show(&event.what), expected);
    timeout(DEADLINE, reading).await.expect("it ends").expect("no panic");
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

/// Frames that the master took from each app, of which so many children write as much as they can, when it has
/// taken enough.
async fn taken(apps: &[usize], quantum: u64) -> Vec<usize> {
    const ENOUGH: usize = 40_000;
    let turns = Turns::new(quantum);
    let total = Arc::new(AtomicUsize::new(0));
    let mut frames = bytes::BytesMut::new();
    encode(&mut frames, &hello(), b"").expect("encodes");
    let begin = frames.split();
    let send = ToMaster::Send {
        to: Target::Agent,
        action: Action::try_from("flood".to_owned()).expect("an action"),
    };
    for _ in 0..1000 {
        encode(&mut frames, &send, &[0; 100]).expect("encodes");
    }
    let mut counting = vec![];
    for children in apps {
        let share = turns.share();
        let (to, mut seen) = mpsc::channel(MAX_EVENTS);
        let events = Events::new(to, share.clone());
        for _ in 0..*children {
            let (ours, theirs) = link::pair().expect("a socket");
            let (reader, sender, _writer) = split::<ToMaster, ToChild>(ours, link::Options::default());
            let manners = Manners::new(Role::Worker);
            tokio::spawn(read(Pid(1), reader, manners, events.clone(), witness()));
            let (begin, frames) = (begin.clone(), frames.clone());
            std::thread::spawn(move || {
                let mut theirs = std::os::unix::net::UnixStream::from(theirs);
                let mut written = theirs.write_all(&begin);
                while written.is_ok() {
                    written = theirs.write_all(&frames);
                }
            });
            drop(sender);
        }
        let total = Arc::clone(&total);
        counting.push(tokio::spawn(async move {
            let mut taken = 0;
            let mut batch = vec![];
            while total.load(Relaxed) < ENOUGH {
                share.turn().await;
                let count = seen.recv_many(&mut batch, MAX_EVENTS).await;
                batch.clear();
                // As routing each to one.
                (0..count).for_each(|_| share.spend(FRAME + 100));
                taken += count;
                total.fetch_add(count, Relaxed);
            }
            taken
        }));
    }
    let mut taken = vec![];
    for counting in counting {
        taken.push(timeout(DEADLINE, counting).await.expect("in time").expect("no panic"));
    }
    taken
}

#[tokio::test]
async fn children_of_one_app_get_no_more_than_those_of_another() {
    for apps in [&[1, 1][..], &[8, 1], &[16, 1, 4]] {
        let without = taken(apps, u64::MAX).await;
        let taken = taken(apps, MESSAGES).await;
        println!("{apps:?} children: {taken:?} frames; without turns {without:?}");
        let (least, most) = (taken.iter().min(), taken.iter().max());
        assert!(least.zip(most).is_some_and(|(least, most)| most < &(2 * least)), "{apps:?}: {taken:?}");
    }
}

/// What the master hears of a child that takes so long to be started, and then to be put in its place, and then
/// is killed.
async fn hears(hang_timeout: Duration, starts: Duration, put: Duration) -> Vec<String> {
    let (ours, theirs) = link::pair().expect("a socket");
    let (reader, _sender, writer) = split::<ToMaster, ToChild>(ours, link::Options::default());
    let (heartbeat, never_answers) = link::pair().expect("a socket");
    let (events, mut seen) = events();
    let kill = Arc::new(Notify::new());
    let life = Life {
        pid: Pid(1),
        reader,
        writer,
        manners: Manners::new(Role::Worker),
        heartbeat,
        hang_timeout,
        events,
        witness: witness(),
        kill: Arc::clone(&kill),
        os_pid: OsPid::default(),
    };
    let spawning = async move {
        tokio::time::sleep(starts).await;
        Process::of(&Command::new("/bin/sleep").arg("100").spawn()?)
    };
    let putting = async move {
        tokio::time::sleep(put).await;
        // As its end closes them.
        drop((theirs, never_answers));
        kill.notify_one();
        None
    };
    tokio::spawn(life.live(spawning, |_| (), putting));
    let mut all = vec![];
    while let Some(event) = timeout(DEADLINE, seen.recv()).await.expect("it ends") {
        all.push(show(&event.what));
    }
    all
}

#[tokio::test]
async fn one_that_is_not_there_yet_does_not_hang() {
    let (now, soon, late) = (Duration::ZERO, Duration::from_millis(50), Duration::from_millis(400));
    for (starts, put) in [(late, now), (now, late)] {
        assert_eq!(hears(soon, starts, put).await, ["exited: signal 9 (SIGKILL)"], "{starts:?}, {put:?}");
    }
}
