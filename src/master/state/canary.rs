//! Is the new generation worse than the old one, while both serve? Pure: (counts, now) -> verdict.
//!
//! ```text
//!   begun -> every LOOK: what each has counted since -> GoesOn
//!                     |- worse in errors, traps or p99 -> Worse, at once, the reason in words
//!                     \- its time is over              -> Fine, with what was seen
//! ```
//!
//! Worse is
//! - by errors (responses of 500 and above): `MIN_ERRORS` or more, a rate of more than twice the old
//!   one's and one percent, and not by chance: where the old one answered too, the difference is more
//!   than `MIN_Z` standard deviations (one-sided test of two proportions). Three, and not two: it is
//!   looked at every second, and each look may err.
//! - by failures (traps, and processes that ended unasked): any, where the old one has not at least
//!   half as many per request;
//! - by p99 (to the head of the response): more than twice the old one's and `MIN_SLOWER` above it,
//!   where each has answered `MIN_FOR_P99`.
//!
//! What children count is theirs to write: any number may be there, so all sums saturate.

use std::time::{Duration, Instant};

use crate::{ipc::counters::Snapshot, master::plan::Canary};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Fewer errors prove nothing.
const MIN_ERRORS: u64 = 3;

/// More errors than this share are one reason to ask whether they are by chance.
const MIN_ERROR_RATE: f64 = 0.01;

/// How many times the old one's rate is worse, be it of errors or failures.
const TIMES: f64 = 2.0;

/// In standard deviations.
const MIN_Z: f64 = 3.0;

/// Of each.
const MIN_FOR_P99: u64 = 100;

/// How many times the old one's p99 is worse.
const TIMES_P99: u32 = 2;

/// Where p99 is so small that twice is no matter.
const MIN_SLOWER: Duration = Duration::from_millis(5);

/// Of the new one: with fewer responses, a verdict says so.
const FEW: u64 = 20;

/// What one generation has counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Its children's, also of those that are gone.
    pub(crate) seen: Snapshot,
    /// Processes that ended, or failed, while they were to serve.
    pub(crate) crashes: u64,
}

impl Counts {
    fn since(&self, earlier: &Self) -> Self {
        let crashes = self.crashes.saturating_sub(earlier.crashes);
        Self { seen: self.seen.since(&earlier.seen), crashes }
    }

    fn failures(&self) -> u64 {
        self.seen.traps.saturating_add(self.crashes)
    }

    /// At least 1, so that it can divide.
    fn answers(&self) -> f64 {
        self.seen.answered().max(1) as f64
    }

    fn p99(&self) -> Option<Duration> {
        self.seen.latency.quantile(0.99)
    }
}

/// Of both generations at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Of the one that served alone before.
    pub(crate) old: Counts,
    /// Of the canary.
    pub(crate) new: Counts,
}

/// What is to become of the canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    GoesOn,
    /// It is to be taken back, for this reason.
    Worse(String),
    /// It is to be promoted; what was seen.
    Fine(String),
}

/// One canary.
pub(crate) struct Trial {
    ends: Instant,
    next: Instant,
    before: Pair,
}

impl Trial {
    /// It begins at `now`, when this was counted.
    pub(crate) fn new(canary: Canary, before: Pair, now: Instant) -> Self {
        Self { ends: now + canary.time(), next: now + LOOK.min(canary.time()), before }
    }

    /// When it is to be looked at.
    pub(crate) fn deadline(&self) -> Instant {
        self.next
    }

    /// Looks, where it is time to.
    pub(crate) fn look(&mut self, now: Instant, counted: impl FnOnce() -> Pair) -> Verdict {
        if now < self.next {
            return Verdict::GoesOn;
        }
        self.next = (now + LOOK).min(self.ends.max(now));
        let counted = counted();
        let (old, new) = (counted.old.since(&self.before.old), counted.new.since(&self.before.new));
        match worse(&old, &new) {
            Some(why) => Verdict::Worse(format!("{why}; it had answered {}", new.seen.answered())),
            None if self.ends <= now => Verdict::Fine(seen(&old, &new)),
            None => Verdict::GoesOn,
        }
    }
}

/// What is worse, if anything.
fn worse(old: &Counts, new: &Counts) -> Option<String> {
    let (n_old, n_new) = (old.answers(), new.answers());
    let (failed_old, failed_new) = (old.failures(), new.failures());
    if failed_new > 0 && failed_new as f64 / n_new > TIMES * failed_old as f64 / n_old {
        let failures = |one: &Counts| format!("{} traps and {} crashes", one.seen.traps, one.crashes);
        return Some(format!("its guest failed: {}, the old version {}", failures(new), failures(old)));
    }
    let (bad_old, bad_new) = (old.seen.error_rate(), new.seen.error_rate());
    if new.seen.errors() >= MIN_ERRORS && bad_new > TIMES * bad_old + MIN_ERROR_RATE && !is_chance(old, new) {
        let [bad_old, bad_new] = [bad_old, bad_new].map(|rate| rate * 100.0);
        return Some(format!(
            "{bad_new:.1} % of its responses are errors (5xx), of the old version's {bad_old:.1} %"
        ));
    }
    if old.seen.answered() >= MIN_FOR_P99
        && new.seen.answered() >= MIN_FOR_P99
        && let (Some(p_old), Some(p_new)) = (old.p99(), new.p99())
        && p_new > p_old * TIMES_P99
        && p_new > p_old + MIN_SLOWER
    {
        return Some(format!("its p99 is {}, the old version's {}", show(p_new), show(p_old)));
    }
    None
}

/// May two equals differ so much in errors?
fn is_chance(old: &Counts, new: &Counts) -> bool {
    if old.seen.answered() == 0 {
        // Nothing to differ from.
        return false;
    }
    let (n_old, n_new) = (old.answers(), new.answers());
    let pooled = (old.seen.errors() as f64 + new.seen.errors() as f64) / (n_old + n_new);
    let deviation = (pooled * (1.0 - pooled) * (n_old.recip() + n_new.recip())).sqrt();
    new.seen.error_rate() - old.seen.error_rate() <= MIN_Z * deviation
}

/// Of one that is promoted.
fn seen(old: &Counts, new: &Counts) -> String {
    let one = |counts: &Counts| {
        let (answered, errors) = (counts.seen.answered(), counts.seen.errors());
        let p99 = counts.p99().map_or_else(String::new, |p99| format!(", p99 {}", show(p99)));
        format!("{answered} responses, {errors} errors{p99}")
    };
    let few = if new.seen.answered() < FEW { "; that is too few to tell much" } else { "" };
    format!("{}; the old version {}{few}", one(new), one(old))
}

/// To a tenth of a millisecond, or of a second.
fn show(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests;
