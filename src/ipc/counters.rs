//! What a child counts, in memory that the master reads at any time.
//!
//! ```text
//!   words (u64): | requests, in flight, refused, repeated, traps, connections, 5 classes of responses |
//!                | BUCKETS of latencies | how often each limit was hit | the largest instance |
//! ```
//!
//! The child writes, without a system call, a lock or an allocation: this is on every request's way.
//! Only its loop's thread writes, so that a load and a store do; hits of limits any thread may count. The
//! master reads; what it reads is hostile, any number may be there, and numbers that belong together may
//! not fit together: sums saturate. `worker::service` and `child::cluster` count, `master::children` reads.

mod histogram;

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use self::histogram::BUCKETS;
pub use self::histogram::Histogram;
use crate::{cluster::Limit, sys::shared::Words};

/// Classes of responses: 1xx to 5xx.
pub const CLASSES: usize = 5;

/// The limits that are counted.
pub const LIMITS: usize = Limit::ALL.len();

const REQUESTS: usize = 0;
const IN_FLIGHT: usize = 1;
const REFUSED: usize = 2;
const REPEATED: usize = 3;
const TRAPS: usize = 4;
const CONNECTIONS: usize = 5;
const RESPONSES: usize = 6;
const LATENCY: usize = RESPONSES + CLASSES;
const HITS: usize = LATENCY + BUCKETS;
const MEMORY: usize = HITS + LIMITS;
const COUNT: NonZeroUsize = NonZeroUsize::new(MEMORY + 1).expect("it is not empty");

/// Counters for a new child: for the master, and what the child gets. All are 0.
///
/// # Errors
/// The system's own.
pub fn create() -> io::Result<(Reader, OwnedFd)> {
    let (memory, fd) = Words::create(c"counters", COUNT)?;
    Ok((Reader { memory }, fd))
}

/// The child's side.
#[derive(Debug)]
pub struct Counters {
    memory: Words,
}

impl Counters {
    /// What the master gave.
    ///
    /// # Errors
    /// It is not what [`create`] makes.
    pub fn open(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self { memory: Words::map(fd, COUNT)? })
    }

    /// A request's head was read. It is in flight until what this gives is dropped.
    pub fn begin(&self, now: Instant) -> Counted<'_> {
        self.up(REQUESTS);
        self.up(IN_FLIGHT);
        Counted { of: self, begun: now }
    }

    /// A request was refused, since as many wait as may.
    pub fn refused(&self) {
        self.up(REFUSED);
    }

    /// A request is run again, since its instance was replaced. How many were, by now.
    pub fn repeated(&self) -> u64 {
        self.up(REPEATED)
    }

    /// The guest trapped.
    pub fn trapped(&self) {
        self.up(TRAPS);
    }

    /// A limit was hit.
    pub fn hit(&self, limit: Limit) {
        if let Some(word) = self.memory.all().get(HITS + limit as usize) {
            word.fetch_add(1, Relaxed);
        }
    }

    /// An instance has so many bytes of memories and tables. The most that one ever had is kept.
    pub fn instance(&self, bytes: u64) {
        self.change(MEMORY, |most| most.max(bytes));
    }

    /// A connection was accepted. It is open until what this gives is dropped.
    #[must_use]
    pub fn connected(self: &Arc<Self>) -> Connected {
        self.up(CONNECTIONS);
        Connected { of: Arc::clone(self) }
    }

    /// Requests that were begun.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.memory.all().get(REQUESTS).map_or(0, |word| word.load(Relaxed))
    }

    fn up(&self, index: usize) -> u64 {
        self.change(index, |value| value.wrapping_add(1))
    }

    fn down(&self, index: usize) {
        self.change(index, |value| value.saturating_sub(1));
    }

    /// Nobody else writes.
    fn change(&self, index: usize, by: impl Fn(u64) -> u64) -> u64 {
        let Some(word) = self.memory.all().get(index) else { return 0 };
        let value = by(word.load(Relaxed));
        word.store(value, Relaxed);
        value
    }
}

/// A request that is in flight.
#[derive(Debug)]
pub struct Counted<'a> {
    of: &'a Counters,
    begun: Instant,
}

impl Counted<'_> {
    /// The head of its response is there, at `now`. (Where a client goes before that, there is none.)
    pub fn answered(self, status: u16, now: Instant) {
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        self.of.up(RESPONSES + class);
        self.of.up(LATENCY + histogram::bucket(now.saturating_duration_since(self.begun)));
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.of.down(IN_FLIGHT);
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct Connected {
    of: Arc<Counters>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.of.down(CONNECTIONS);
    }
}

/// The master's side.
#[derive(Debug)]
pub struct Reader {
    memory: Words,
}

impl Reader {
    /// What is there now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let words = self.memory.all();
        let read = |index: usize| words.get(index).map_or(0, |word| word.load(Relaxed));
        Snapshot {
            requests: read(REQUESTS),
            in_flight: read(IN_FLIGHT),
            refused: read(REFUSED),
            repeated: read(REPEATED),
            traps: read(TRAPS),
            connections: read(CONNECTIONS),
            responses: std::array::from_fn(|class| read(RESPONSES + class)),
            latency: Histogram::new(|bucket| read(LATENCY + bucket)),
            hits: std::array::from_fn(|limit| read(HITS + limit)),
            instance: read(MEMORY),
        }
    }
}

/// What one child, or several, had counted at some moment; or between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests whose head was read.
    pub requests: u64,
    /// Those whose response's head is not there yet. A level, not a sum.
    pub in_flight: u64,
    /// Those that were refused with 503, since as many waited as may (`queued-requests`).
    pub refused: u64,
    /// Those that were run again, since another one ended their instance.
    pub repeated: u64,
    /// Traps of the guest, spinning past `cpu-limit` included.
    pub traps: u64,
    /// Open connections. A level, not a sum.
    pub connections: u64,
    /// Responses by class: 1xx first, 5xx last; those that Hatchery gives itself included.
    pub responses: [u64; CLASSES],
    /// From a request's head to its response's.
    pub latency: Histogram,
    /// How often each of [`Limit::ALL`] was hit.
    pub hits: [u64; LIMITS],
    /// The most bytes that one instance ever had. A level, not a sum.
    pub instance: u64,
}

impl Snapshot {
    /// Adds another one's.
    pub fn add(&mut self, other: &Self) {
        self.each(other, u64::saturating_add);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.connections = self.connections.saturating_add(other.connections);
        self.instance = self.instance.max(other.instance);
    }

    /// What came after `earlier`. Levels are as they are in this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        later.each(earlier, u64::saturating_sub);
        later
    }

    /// Of a child that is gone: nothing is in flight or open any more.
    #[must_use]
    pub fn ended(self) -> Self {
        Self { in_flight: 0, connections: 0, instance: 0, ..self }
    }

    /// The hits of limits alone.
    #[must_use]
    pub fn hits_alone(self) -> Self {
        Self { hits: self.hits, ..Self::default() }
    }

    /// Responses of any class.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.responses.iter().fold(0, |sum, class| sum.saturating_add(*class))
    }

    /// Responses of 500 and above.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.responses[CLASSES - 1]
    }

    /// Errors among the responses, 0 to 1. 0 where there was none.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        self.errors() as f64 / self.answered().max(1) as f64
    }

    /// Sums alone.
    fn each(&mut self, other: &Self, what: fn(u64, u64) -> u64) {
        let Self {
            requests,
            in_flight: _,
            refused,
            repeated,
            traps,
            connections: _,
            responses,
            latency,
            hits,
            instance: _,
        } = other;
        self.requests = what(self.requests, *requests);
        self.refused = what(self.refused, *refused);
        self.repeated = what(self.repeated, *repeated);
        self.traps = what(self.traps, *traps);
        for (class, other) in self.responses.iter_mut().zip(responses) {
            *class = what(*class, *other);
        }
        self.latency.each(latency, what);
        for (limit, other) in self.hits.iter_mut().zip(hits) {
            *limit = what(*limit, *other);
        }
    }
}

#[cfg(test)]
mod tests;
