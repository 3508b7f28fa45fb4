//! A rate that holds on average, with room for a burst: a bucket that fills by itself. Pure: who asks says
//! what time it is.
//!
//! A sender's own process has one for `message-rate`, and the master, which does not trust it, another;
//! a process has one for its log.

use std::time::{Duration, Instant};

/// What a message counts for, past its first so many bytes once more: a few large ones are as much work
/// as many small ones.
pub const MESSAGE_UNIT: usize = 16 << 10;

/// What a message of so many bytes to so many receivers counts for in `message-rate`.
#[must_use]
pub fn message_cost(bytes: usize, receivers: usize) -> u64 {
    (bytes.div_ceil(MESSAGE_UNIT).max(1) as u64).saturating_mul(receivers.max(1) as u64)
}

/// So much a second.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    per_second: f64,
    most: f64,
    level: f64,
    at: Option<Instant>,
}

impl Rate {
    /// Full: the first burst may be what comes in `burst`.
    #[must_use]
    pub fn new(per_second: u64, burst: Duration) -> Self {
        let per_second = per_second.max(1) as f64;
        let most = (per_second * burst.as_secs_f64()).max(1.0);
        Self { per_second, most, level: most, at: None }
    }

    /// Takes this much, or nothing. More than there ever is room for is taken from a full bucket, and
    /// what comes next waits for it.
    pub fn take(&mut self, cost: u64, now: Instant) -> bool {
        self.fill(now);
        let cost = cost as f64;
        let fits = self.level >= cost.min(self.most);
        if fits {
            self.level -= cost;
        }
        fits
    }

    /// Takes this much, whether it is there or not: what comes next waits for it.
    pub fn charge(&mut self, cost: u64, now: Instant) {
        self.fill(now);
        self.level -= cost as f64;
    }

    /// How full it is, 0 to 1.
    pub fn share(&mut self, now: Instant) -> f64 {
        self.fill(now);
        (self.level / self.most).max(0.0)
    }

    /// How long until it is full to this share, if nothing is taken.
    pub fn until(&mut self, share: f64, now: Instant) -> Duration {
        self.fill(now);
        let missing = (self.most * share - self.level).max(0.0);
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }

    /// What was taken lately.
    pub fn used(&mut self, now: Instant) -> u64 {
        self.fill(now);
        (self.most - self.level).max(0.0) as u64
    }

    fn fill(&mut self, now: Instant) {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        self.level = (self.level + since.as_secs_f64() * self.per_second).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_as_a_table() {
        let begin = Instant::now();
        let mut rate = Rate::new(100, Duration::from_secs(1));
        // Milliseconds from the beginning, what is taken, whether it is there, what was taken lately.
        for (at, cost, expected, used) in [
            (0, 60, true, 60),
            (0, 40, true, 100),
            (0, 1, false, 100),
            (100, 10, true, 100),
            (100, 1, false, 100),
            (1_100, 101, true, 101),
            (1_100, 1, false, 101),
            (10_000, 1, true, 1),
            // The clock of another thread was read earlier.
            (9_000, 1, true, 2),
        ] {
            let now = begin + Duration::from_millis(at);
            assert_eq!(rate.take(cost, now), expected, "{cost} at {at} ms");
            assert_eq!(rate.used(now), used, "{cost} at {at} ms");
        }
    }

    #[test]
    fn how_long_until_there_is_room() {
        let begin = Instant::now();
        let mut rate = Rate::new(100, Duration::from_secs(1));
        assert!(rate.take(75, begin));
        assert!((rate.share(begin) - 0.25).abs() < 1e-9);
        assert_eq!(rate.until(0.25, begin), Duration::ZERO);
        assert_eq!(rate.until(0.5, begin), Duration::from_millis(250));
    }

    #[test]
    fn a_debt_is_paid_first() {
        let begin = Instant::now();
        let mut rate = Rate::new(100, Duration::from_secs(1));
        rate.charge(150, begin);
        assert!(!rate.take(1, begin + Duration::from_millis(505)));
        assert!(rate.take(1, begin + Duration::from_millis(515)));
    }

    #[test]
    fn costs_as_a_table() {
        for (bytes, receivers, expected) in [
            (0, 0, 1),
            (100, 1, 1),
            (100, 8, 8),
            (MESSAGE_UNIT, 1, 1),
            (MESSAGE_UNIT + 1, 2, 4),
            (1 << 20, 1, 64),
        ] {
            assert_eq!(message_cost(bytes, receivers), expected, "{bytes} {receivers}");
        }
    }
}
