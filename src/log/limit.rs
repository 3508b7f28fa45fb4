//! `log-rate`: how much a process may write. What its guest prints and what the host says of it have a
//! bucket each, so that a guest can't silence the host, nor make it talk without end.
//!
//! Past it lines are dropped until there is room for a while again; then one line says how many.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    cluster::{Limit, Rate},
    ipc::counters::Counters,
};

/// What may be written at once, as a part of the rate.
const BURST: Duration = Duration::from_secs(2);

/// Once lines are dropped, they are until the bucket is so full: not every second one, each with a word
/// about those between.
const ENOUGH: f64 = 0.5;

/// The target of the line that says how many: it is never dropped.
pub(super) const TARGET: &str = "hatchery::log::limit";

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Guest,
    Host,
    /// Of this file.
    Here,
}

/// What was dropped of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dropped {
    lines: u64,
    bytes: u64,
}

/// One kind's bucket. Pure.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    dropped: Option<Dropped>,
}

impl Bucket {
    fn new(per_second: u64) -> Self {
        Self { rate: Rate::new(per_second, BURST), dropped: None }
    }

    /// Is the line written?
    fn takes(&mut self, bytes: usize, now: Instant) -> bool {
        let takes = self.dropped.is_none() && self.rate.take(bytes as u64, now);
        if !takes {
            let dropped = self.dropped.get_or_insert_default();
            dropped.lines += 1;
            dropped.bytes += bytes as u64;
        }
        takes
    }

    /// What was dropped, once there is room again.
    fn over(&mut self, now: Instant) -> Option<Dropped> {
        if self.dropped.is_some() && self.rate.share(now) >= ENOUGH { self.dropped.take() } else { None }
    }
}

struct Limits {
    guest: Mutex<Bucket>,
    host: Mutex<Bucket>,
    per_second: u64,
    counters: Arc<Counters>,
}

impl Limits {
    /// Changes one kind's bucket. Nothing is logged meanwhile.
    fn with<T>(&self, from: From, change: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        let bucket = match from {
            From::Guest => &self.guest,
            From::Host => &self.host,
            From::Here => return None,
        };
        Some(change(&mut bucket.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn say(&self, from: From, dropped: Dropped) {
        let Dropped { lines, bytes } = dropped;
        let whose = if from == From::Guest { "the guest's" } else { "its own" };
        tracing::warn!(
            target: TARGET,
            "dropped {lines} of {whose} log lines ({bytes} bytes): more than {} a second (`log-rate`)",
            crate::manifest::show_size(self.per_second)
        );
    }
}

static LIMITS: OnceLock<Limits> = OnceLock::new();

/// From now on, this process writes no more than so many bytes a second of each kind.
pub fn limit(per_second: u64, counters: &Arc<Counters>) {
    let (guest, host) = (Mutex::new(Bucket::new(per_second)), Mutex::new(Bucket::new(per_second)));
    let _ = LIMITS.set(Limits { guest, host, per_second, counters: Arc::clone(counters) });
}

/// Says what was dropped, where there is room again. To be called now and then.
pub fn say_dropped() {
    let Some(limits) = LIMITS.get() else { return };
    for from in [From::Guest, From::Host] {
        if let Some(Some(dropped)) = limits.with(from, |bucket| bucket.over(Instant::now())) {
            limits.say(from, dropped);
        }
    }
}

/// Is this line written?
pub(super) fn takes(from: From, bytes: usize) -> bool {
    let Some(limits) = LIMITS.get() else { return true };
    let now = Instant::now();
    if let Some(Some(dropped)) = limits.with(from, |bucket| bucket.over(now)) {
        limits.say(from, dropped);
    }
    let takes = limits.with(from, |bucket| bucket.takes(bytes, now)).unwrap_or(true);
    if !takes {
        limits.counters.hit(Limit::LogRate);
    }
    takes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_a_table() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(100);
        let dropped = |lines, bytes| Some(Dropped { lines, bytes });
        // Milliseconds, bytes, what is over first, whether it is written.
        for (at, bytes, over, takes) in [
            (0, 150, None, true),
            (0, 50, None, true),
            (0, 10, None, false),
            // Ten bytes would fit, but it is too early.
            (200, 10, None, false),
            (900, 10, None, false),
            (1_000, 60, dropped(3, 30), true),
            (1_000, 50, None, false),
            (9_000, 300, dropped(1, 50), true),
        ] {
            let now = begin + Duration::from_millis(at);
            assert_eq!(bucket.over(now), over, "{bytes} at {at} ms");
            assert_eq!(bucket.takes(bytes, now), takes, "{bytes} at {at} ms");
        }
    }
}
