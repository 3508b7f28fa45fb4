//! What an app may send: `message-rate`, held at the master, whoever of its processes sends. Pure.
//!
//! ```text
//!   full ── passes ── below a quarter: its senders are to be quiet ── empty: dropped, counted
//! ```
//!
//! An honest process holds the rate by itself (`child::cluster`), so that its guest hears `overloaded` at
//! once. Several of them together come here below a quarter, and are told to pause; what is on its way
//! then still finds room. Only what comes in spite of that is dropped.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::cluster::{Pid, Rate};

/// What may come at once: so much of the rate.
const BURST: Duration = Duration::from_secs(1);

/// Below this share of it senders are told to pause, and until when.
const LOW: f64 = 0.25;
const ENOUGH: f64 = 0.5;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) passes: bool,
    /// The sender is to be told to pause for so long.
    pub(super) hush: Option<Duration>,
}

/// One app's.
#[derive(Debug)]
pub(super) struct Quota {
    rate: Rate,
    refused: u64,
    /// Who pauses, until when.
    hushed: BTreeMap<Pid, Instant>,
}

impl Quota {
    pub(super) fn new(per_second: u32) -> Self {
        Self { rate: Rate::new(per_second.into(), BURST), refused: 0, hushed: BTreeMap::new() }
    }

    /// A message comes that counts for so much.
    pub(super) fn take(&mut self, from: Pid, cost: u64, now: Instant) -> Verdict {
        let passes = self.rate.take(cost, now);
        self.refused += u64::from(!passes);
        if passes && self.rate.share(now) >= LOW {
            return Verdict { passes, hush: None };
        }
        // Said once, and again when that time is over.
        if self.hushed.get(&from).is_some_and(|until| *until > now) {
            return Verdict { passes, hush: None };
        }
        let pause = self.rate.until(ENOUGH, now);
        self.hushed.insert(from, now + pause);
        Verdict { passes, hush: Some(pause) }
    }

    /// An answer of so much: the question has paid for a small one. It is passed on in any case, since
    /// somebody waits for it.
    pub(super) fn answered(&mut self, cost: u64, now: Instant) {
        if cost > 1 {
            self.rate.charge(cost - 1, now);
        }
    }

    pub(super) fn gone(&mut self, pid: Pid) {
        self.hushed.remove(&pid);
    }

    /// What was dropped here.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// What came in about the last second.
    pub(super) fn used(&self, now: Instant) -> u64 {
        self.rate.clone().used(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_as_a_table() {
        let begin = Instant::now();
        let mut quota = Quota::new(100);
        let pause = |ms| Some(Duration::from_millis(ms));
        // Milliseconds, from whom, cost, passes, pause.
        for (at, from, cost, passes, hush) in [
            (0, 1, 75, true, None),
            (0, 1, 1, true, pause(260)),
            (0, 1, 1, true, None),
            (0, 2, 3, true, pause(300)),
            (0, 2, 20, true, None),
            // Nothing is left; who pauses already is not told again.
            (0, 1, 1, false, None),
            (0, 3, 1, false, pause(500)),
            (250, 3, 26, false, None),
            (250, 3, 25, true, None),
            (2_000, 1, 10, true, None),
        ] {
            let verdict = quota.take(Pid(from), cost, begin + Duration::from_millis(at));
            assert_eq!((verdict.passes, verdict.hush), (passes, hush), "{cost} of {from} at {at} ms");
        }
        assert_eq!(quota.refused(), 3);
        assert_eq!(quota.used(begin + Duration::from_secs(2)), 10);
    }
}
