//! Children's standard error: a pipe for each, from which a thread writes whole lines to this process's own, no
//! faster than the child may log.
//!
//! ```text
//!   child -- pipe (the kernel's 64 KiB) --> the thread: CHUNK of it at a time, at its rate --> stderr
//! ```
//!
//! `log::limit` holds `log-rate` inside of a child, where its guest could undo it. This holds it outside, with
//! room for all that a sound child ever writes. Who writes more is read later: its own writes wait, nothing is
//! lost, nobody's memory grows, and a process that waits for too long shows no life and is replaced. The master's
//! loop has no part in it: the thread alone waits for a slow terminal.

use std::{
    io::{self, Write},
    os::fd::{OwnedFd, RawFd},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt as _, net::unix::pipe, sync::mpsc, time::sleep};

use crate::cluster::Rate;

/// Of a child that is of no app, in bytes a second.
pub(super) const USUAL: u64 = 1 << 20;

/// The number of standard error.
const STDERR: RawFd = 2;

/// The most that is read at once, and the longest line, in bytes.
const CHUNK: usize = 16 << 10;

/// What a sound child logs: its guest's lines and its own have the rate each (`log::limit`), and lines about
/// dropped ones and what a panic says come on top.
const KINDS: u64 = 2;
const ON_TOP: u64 = 64 << 10;

/// What may come at once, as a part of the rate: that of `log::limit`.
const BURST: Duration = Duration::from_secs(2);

/// Between two lines about the same child.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// How long the last words of children may take to come out when this process ends, and how often is looked.
const LAST_WORDS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

/// Pipes that are not read to their end.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// One child's.
struct Line {
    whose: String,
    pipe: OwnedFd,
    per_second: u64,
}

/// The thread. The pipes are bounded by the processes that there may be.
static SCRIBE: LazyLock<Option<mpsc::UnboundedSender<Line>>> = LazyLock::new(|| {
    let (to, mut lines) = mpsc::unbounded_channel::<Line>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let run = move || {
        runtime.block_on(async {
            while let Some(line) = lines.recv().await {
                tokio::spawn(async {
                    follow(line).await;
                    OPEN.fetch_sub(1, SeqCst);
                });
            }
        });
    };
    thread::Builder::new().name("scribe".to_owned()).spawn(run).ok()?;
    Some(to)
});

/// Standard error for a child that is to be started, whose log may have so many bytes a second, with its number.
///
/// # Errors
/// The system's own; there is no thread.
pub(super) fn pipe(whose: &str, per_second: u64) -> io::Result<(OwnedFd, RawFd)> {
    let (ours, theirs) = io::pipe()?;
    let line = Line { whose: whose.to_owned(), pipe: ours.into(), per_second };
    let gone = || io::Error::other("the thread that writes children's lines is gone");
    OPEN.fetch_add(1, SeqCst);
    let sent = SCRIBE.as_ref().ok_or_else(gone).and_then(|to| to.send(line).map_err(|_| gone()));
    if let Err(error) = sent {
        OPEN.fetch_sub(1, SeqCst);
        return Err(error);
    }
    Ok((theirs.into(), STDERR))
}

/// Returns when the last words of all children that are gone have come out; after a second at the latest. To be
/// called when this process is about to end.
pub fn finish_log() {
    let by = Instant::now() + LAST_WORDS;
    while OPEN.load(SeqCst) > 0 && Instant::now() < by {
        thread::sleep(PAUSE);
    }
}

async fn follow(line: Line) {
    let Line { whose, pipe, per_second } = line;
    match pipe::Receiver::from_owned_fd(pipe) {
        Ok(pipe) => relay(pipe, &whose, per_second, io::stderr).await,
        Err(error) => tracing::error!(whose, %error, "its log can't be read"),
    }
}

/// To its end. Where nothing can be written, it is read all the same.
async fn relay<W: Write>(mut pipe: pipe::Receiver, whose: &str, per_second: u64, to: impl Fn() -> W) {
    let mut rate = Rate::new(per_second.saturating_mul(KINDS).saturating_add(ON_TOP), BURST);
    let (mut chunk, mut held) = (vec![0; CHUNK], 0);
    let mut said: Option<Instant> = None;
    while let Ok(read @ 1..) = pipe.read(&mut chunk[held..]).await {
        held += read;
        let whole = match chunk[..held].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if held == CHUNK => held,
            None => continue,
        };
        let _ = to().write_all(&chunk[..whole]);
        if chunk[whole - 1] != b'\n' {
            let _ = to().write_all(b"\n");
        }
        chunk.copy_within(whole..held, 0);
        held -= whole;
        rate.charge(whole as u64, Instant::now());
        let wait = rate.until(0.0, Instant::now());
        if !wait.is_zero() {
            if said.is_none_or(|said| said.elapsed() > SAY_EVERY) {
                said = Some(Instant::now());
                tracing::warn!("{whose} writes past the limit of its own log, and has to wait (`log-rate`)");
            }
            sleep(wait).await;
        }
    }
    if held > 0 {
        chunk.truncate(held);
        chunk.push(b'\n');
        let _ = to().write_all(&chunk);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What came out, call by call.
    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What comes of these writes, and how long it took.
    async fn relayed(writes: &[&[u8]], per_second: u64) -> (String, Duration) {
        let (mut to, from) = pipe::pipe().unwrap();
        let (out, begun) = (Out::default(), Instant::now());
        let writing = async move {
            for bytes in writes {
                to.write_all(bytes).await.unwrap();
            }
        };
        tokio::join!(relay(from, "a child", per_second, || out.clone()), writing);
        let all = out.0.lock().unwrap().concat();
        (String::from_utf8(all).unwrap(), begun.elapsed())
    }

    #[tokio::test]
    async fn lines_come_out_whole() {
        for (writes, expected) in [
            (&[&b"one\ntwo\n"[..]][..], "one\ntwo\n"),
            (&[b"on", b"e\ntw", b"o\n"], "one\ntwo\n"),
            (&[b"last words"], "last words\n"),
            (&[], ""),
        ] {
            assert_eq!(relayed(writes, 1000).await.0, expected);
        }
        let long = [b'x'; CHUNK + 1];
        let (text, _) = relayed(&[&long, b"\n"], 1000).await;
        assert_eq!(text, format!("{}\nx\n", "x".repeat(CHUNK)));
    }

    #[tokio::test]
    async fn who_writes_more_waits_and_loses_nothing() {
        let line = format!("{}\n", "x".repeat(1023));
        let per_second = 1000 * KINDS + ON_TOP;
        // What may come at once, and half a second's worth.
        let bytes = 5 * per_second / 2;
        let writes = vec![line.as_bytes(); (bytes / 1024) as usize];
        let (text, took) = relayed(&writes, 1000).await;
        assert_eq!(text.len(), writes.len() * 1024);
        assert!(took >= Duration::from_millis(400), "{took:?}");
    }
}
