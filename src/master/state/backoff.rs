//! How long a slot waits before its next process. Used by `state` alone; pure.
//!
//! The first process that dies early is replaced at once, the next ones after 10 ms, 20 ms, … up to
//! 30 s, and it never gives up. A process that stayed ready for a while wipes the slate clean.

use std::time::Duration;

/// What the second early death in a row costs.
const FIRST: Duration = Duration::from_millis(10);
/// No slot waits longer than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);
/// A process that was ready for so long did not fail quickly.
pub(crate) const STEADY: Duration = Duration::from_secs(1);

/// The early deaths of one slot, in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A process of this slot ended after being ready for `lived` (zero: it never was). Gives the
    /// wait before the next one. `jitter` in 0..=1 takes up to half of the wait away, so that slots
    /// that failed together do not come back together.
    pub(crate) fn ended(&mut self, lived: Duration, jitter: f64) -> Duration {
        if lived >= STEADY {
            self.failures = 0;
        }
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        if failures == 0 {
            return Duration::ZERO;
        }
        let full = 2u32.checked_pow(failures - 1).and_then(|times| FIRST.checked_mul(times));
        full.map_or(LONGEST, |full| full.min(LONGEST)).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Has it failed more than once in a row? Shown as `failing`.
    pub(crate) fn failing(self) -> bool {
        self.failures > 1
    }

    /// The process has been ready for [`STEADY`]: what was is forgotten.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_as_a_table() {
        let quick = Duration::from_millis(1);
        let mut backoff = Backoff::default();
        let mut waits = vec![];
        for _ in 0..16 {
            waits.push(backoff.ended(quick, 0.0).as_millis());
        }
        let expected =
            [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 30_000, 30_000, 30_000];
        assert_eq!(waits, expected);
        assert!(backoff.failing());
        assert_eq!(backoff.ended(STEADY, 0.0), Duration::ZERO, "a long life starts afresh");
        assert!(!backoff.failing());
        assert_eq!(backoff.ended(quick, 1.0), Duration::from_millis(5), "jitter takes half at most");
        assert_eq!(backoff.ended(quick, 7.0), Duration::from_millis(10), "jitter is cut");
    }

    #[test]
    fn never_gives_up() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.ended(Duration::ZERO, 0.0), LONGEST);
        assert_eq!(backoff.ended(Duration::ZERO, 0.0), LONGEST);
    }
}
