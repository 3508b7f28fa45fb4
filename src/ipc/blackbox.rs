//! A child's black box: its last log lines and the requests that it has in hand, in memory that the
//! master keeps when the child is gone, however it went.
//!
//! ```text
//!   | head | REQUESTS slots: used, since (ms of `sys::clock`, u64), length, text | a ring of LOG bytes |
//!     \-- where the ring's next byte goes (u64)
//! ```
//!
//! The child writes, the master reads once, after the child's end. What it reads is hostile: it is
//! bounded by the layout, and text is made of whatever bytes are there.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::sys::{
    clock,
    shared::{self, Shared},
};

/// The most requests that are noted at once; more are served, but not noted.
pub const REQUESTS: usize = 64;

/// The most bytes of a request's method and path that are noted.
pub const MAX_TEXT: usize = 200;

/// Bytes of log lines that are kept.
pub const LOG: usize = 64 * 1024;

/// Lines that a report has.
pub const LINES: usize = 50;

const HEAD: usize = 8;
const SLOT: usize = 256;
const RING: usize = HEAD + REQUESTS * SLOT;
const LENGTH: NonZeroUsize = NonZeroUsize::new(RING + LOG).expect("it is not empty");

/// A request in hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Method and path, cut at [`MAX_TEXT`].
    pub request: String,
    /// How long it had been in hand.
    pub age_ms: u64,
}

/// What a black box holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The oldest first.
    pub requests: Vec<Request>,
    /// The last [`LINES`], the oldest first.
    pub lines: Vec<String>,
}

/// Memory for a new child.
///
/// # Errors
/// The system's own.
pub fn create() -> io::Result<OwnedFd> {
    shared::create(c"blackbox", LENGTH)
}

/// The master's side: reads what is in it now.
///
/// # Errors
/// The system's own.
pub fn read(fd: impl AsFd) -> io::Result<Contents> {
    let memory = Shared::map(fd, LENGTH)?;
    let head = usize::try_from(number(&memory.read(0, HEAD))).unwrap_or(0) % LOG;
    let mut ring = memory.read(RING, LOG);
    ring.rotate_left(head);
    // The oldest line is cut off somewhere; what was never written is NUL.
    let text: Vec<u8> = ring.into_iter().filter(|byte| *byte != 0).collect();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let last = lines.len().saturating_sub(LINES);
    let lines = lines[last..].iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    Ok(Contents { requests: requests(&memory), lines })
}

fn requests(memory: &Shared) -> Vec<Request> {
    let now = millis(clock::monotonic());
    let mut requests: Vec<Request> =
        (0..REQUESTS).filter_map(|slot| request(&memory.read(HEAD + slot * SLOT, SLOT), now)).collect();
    requests.sort_by_key(|request| std::cmp::Reverse(request.age_ms));
    requests
}

fn request(slot: &[u8], now: u64) -> Option<Request> {
    let (head, text) = slot.split_at_checked(10)?;
    if head[0] != 1 {
        return None;
    }
    let length = usize::from(head[9]).min(MAX_TEXT);
    let request = String::from_utf8_lossy(&text[..length]).into_owned();
    Some(Request { request, age_ms: now.saturating_sub(number(&head[1..9])) })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_le_bytes).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The child's side.
pub struct BlackBox {
    memory: Shared,
    free: Mutex<Vec<usize>>,
    next: AtomicU64,
    /// The same moment, by this process's clock and by that of all.
    opened: (Instant, Duration),
}

impl BlackBox {
    /// What the master gave.
    ///
    /// # Errors
    /// It is not what [`create`] makes.
    pub fn open(fd: impl AsFd) -> io::Result<Self> {
        let free = Mutex::new((0..REQUESTS).rev().collect());
        let opened = (Instant::now(), clock::monotonic());
        Ok(Self { memory: Shared::map(fd, LENGTH)?, free, next: AtomicU64::new(0), opened })
    }

    /// Notes a request until the note is dropped. None where as many as may be are noted.
    pub fn request(&self, method: &str, path: &str, now: Instant) -> Option<Note<'_>> {
        let slot = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let mut bytes = [0; SLOT];
        let text = bytes[10..].iter_mut().take(MAX_TEXT);
        let words = method.bytes().chain([b' ']).chain(path.bytes());
        let length = text.zip(words).map(|(to, from)| *to = from).count();
        let since = self.opened.1 + now.saturating_duration_since(self.opened.0);
        bytes[0] = 1;
        bytes[1..9].copy_from_slice(&millis(since).to_le_bytes());
        bytes[9] = u8::try_from(length).unwrap_or(u8::MAX);
        self.memory.write(HEAD + slot * SLOT, &bytes[..10 + length]);
        Some(Note { of: self, slot })
    }

    /// What is noted now, the oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        requests(&self.memory)
    }

    /// Notes what was logged: whole lines.
    pub fn log(&self, lines: &[u8]) {
        let lines = &lines[lines.len().saturating_sub(LOG)..];
        let begin = self.next.fetch_add(lines.len() as u64, Relaxed);
        let at = usize::try_from(begin % LOG as u64).unwrap_or(0);
        let (before, after) = lines.split_at(lines.len().min(LOG - at));
        self.memory.write(RING + at, before);
        self.memory.write(RING, after);
        self.memory.write(0, &self.next.load(Relaxed).to_le_bytes());
    }
}

/// A request that is noted.
pub struct Note<'a> {
    of: &'a BlackBox,
    slot: usize,
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        self.of.memory.write(HEAD + self.slot * SLOT, &[0]);
        self.of.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_is_left() {
        let fd = create().unwrap();
        assert_eq!(read(&fd).unwrap(), Contents::default());
        let child = BlackBox::open(&fd).unwrap();
        let first = child.request("GET", "/first", Instant::now()).unwrap();
        drop(child.request("GET", "/done", Instant::now()).unwrap());
        let second = child.request("POST", &"x".repeat(500), Instant::now()).unwrap();
        child.log(b"one\ntwo\n");
        let left = read(&fd).unwrap();
        assert!(left.requests.iter().all(|request| request.age_ms < 60_000), "{left:?}");
        let mut requests: Vec<_> = left.requests.iter().map(|request| request.request.as_str()).collect();
        requests.sort_unstable();
        assert_eq!(requests, ["GET /first", &format!("POST {}", "x".repeat(MAX_TEXT - 5))]);
        assert_eq!(left.lines, ["one", "two"]);
        drop((first, second));
        assert!(read(&fd).unwrap().requests.is_empty());
    }

    #[test]
    fn the_last_lines_are_kept() {
        let fd = create().unwrap();
        let child = BlackBox::open(&fd).unwrap();
        for number in 0..10_000 {
            child.log(format!("line {number:05}, some words\n").as_bytes());
        }
        let lines = read(&fd).unwrap().lines;
        assert_eq!(lines.len(), LINES);
        assert_eq!(
            (lines[0].as_str(), lines[LINES - 1].as_str()),
            ("line 09950, some words", "line 09999, some words")
        );
        child.log(&vec![b'y'; LOG * 2]);
        assert_eq!(read(&fd).unwrap().lines, ["y".repeat(LOG)]);
    }

    #[test]
    fn requests_past_the_bound_are_not_noted() {
        let fd = create().unwrap();
        let child = BlackBox::open(&fd).unwrap();
        let notes: Vec<_> = std::iter::from_fn(|| child.request("GET", "/", Instant::now())).collect();
        assert_eq!(notes.len(), REQUESTS);
        drop(notes);
        assert!(child.request("GET", "/", Instant::now()).is_some());
    }

    #[test]
    fn garbage_is_read_without_a_panic() {
        let fd = create().unwrap();
        let memory = Shared::map(&fd, LENGTH).unwrap();
        memory.write(0, &vec![0xff; LENGTH.get()]);
        let left = read(&fd).unwrap();
        assert!(left.requests.is_empty() && left.lines.len() == 1);
        memory.write(HEAD, &[1; SLOT * REQUESTS]);
        assert_eq!(read(&fd).unwrap().requests.len(), REQUESTS);
    }
}
