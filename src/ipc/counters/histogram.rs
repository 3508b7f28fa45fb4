//! Latencies, by the logarithm: few buckets, and each as exact as any other.
//!
//! ```text
//!   bucket   0 .. 8             128 ns each, to 1 µs
//!            8 .. BUCKETS       every doubling in 8 equal parts, to 39 hours
//! ```
//!
//! A bucket stands for its middle, which from 1 µs on is at most a sixteenth (6.25 %) off what was
//! measured. The longest `request-timeout` is a day. Pure.

use std::time::Duration;

/// The parts of a doubling.
const PARTS: usize = 8;
const PARTS_LOG2: u32 = PARTS.ilog2();

/// What the first buckets count in: 128 ns.
const UNIT_LOG2: u32 = 7;

/// Doublings from 1 µs on.
const DOUBLINGS: usize = 37;

/// How many there are.
pub(super) const BUCKETS: usize = PARTS + DOUBLINGS * PARTS;

/// Where it belongs; what is longer than the last bucket belongs there.
pub(super) fn bucket(latency: Duration) -> usize {
    let units = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX) >> UNIT_LOG2;
    let Some(doubling) = units.checked_ilog2().and_then(|log| log.checked_sub(PARTS_LOG2)) else {
        return units as usize;
    };
    // 8 to 15: which part, and the 8 buckets before the first doubling.
    let part = (units >> doubling) as usize;
    (doubling as usize * PARTS + part).min(BUCKETS - 1)
}

/// What a bucket stands for.
fn middle(bucket: usize) -> Duration {
    let (begin, width) = match bucket.checked_sub(PARTS) {
        None => (bucket as u64, 1),
        Some(above) => {
            let doubling = above / PARTS;
            (((PARTS + above % PARTS) as u64) << doubling, 1 << doubling)
        }
    };
    Duration::from_nanos((2 * begin + width) << (UNIT_LOG2 - 1))
}

/// How many of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS] }
    }
}

impl Histogram {
    pub(super) fn new(read: impl FnMut(usize) -> u64) -> Self {
        Self { buckets: std::array::from_fn(read) }
    }

    pub(super) fn each(&mut self, other: &Self, what: fn(u64, u64) -> u64) {
        for (bucket, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = what(*bucket, *other);
        }
    }

    /// Of `p` (0 to 1) of the requests, the slowest. At most 6.25 % off, from 1 µs on. `None` where
    /// there were none.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<Duration> {
        // Hostile counts may not fit into less.
        let count: u128 = self.buckets.iter().map(|bucket| u128::from(*bucket)).sum();
        let rank = ((count as f64 * p).ceil() as u128).clamp(1, count.max(1));
        let mut below = 0;
        let found = self.buckets.iter().position(|bucket| {
            below += u128::from(*bucket);
            below >= rank
        });
        found.map(middle)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The most that a bucket may be off.
    const ERROR: f64 = 1.0 / 16.0 + 1e-9;

    fn of(latencies: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for nanos in latencies {
            histogram.buckets[bucket(Duration::from_nanos(*nanos))] += 1;
        }
        histogram
    }

    #[test]
    fn buckets_as_a_table() {
        for (nanos, expected) in [
            (0, 0),
            (127, 0),
            (128, 1),
            (1023, 7),
            (1024, 8),
            (1151, 8),
            (1152, 9),
            (2047, 15),
            (2048, 16),
            (4096, 24),
            ((1 << 47) - 1, BUCKETS - 1),
            (1 << 47, BUCKETS - 1),
            (u64::MAX, BUCKETS - 1),
        ] {
            assert_eq!(bucket(Duration::from_nanos(nanos)), expected, "{nanos} ns");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        let day = Duration::from_secs(24 * 3600);
        assert!(bucket(day) < BUCKETS - 1, "the longest timeout has a bucket of its own");
    }

    #[test]
    fn a_bucket_stands_for_what_is_in_it() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(middle(index)), index);
        }
    }

    #[test]
    fn quantiles_as_a_table() {
        let (ms, second) = (1_000_000, 1_000_000_000);
        let hundred: Vec<u64> = (1..=100).map(|n| n * ms).collect();
        let cases: [(&[u64], f64, u64); 8] = [
            (&[ms], 0.0, ms),
            (&[ms], 1.0, ms),
            (&hundred, 0.5, 50 * ms),
            (&hundred, 0.99, 99 * ms),
            (&hundred, 1.0, 100 * ms),
            (&[ms, ms, ms, second], 0.75, ms),
            (&[ms, ms, ms, second], 0.76, second),
            (&[second], f64::NAN, second),
        ];
        for (latencies, p, expected) in cases {
            let found = of(latencies).quantile(p).unwrap().as_nanos() as f64;
            let off = (found - expected as f64).abs() / expected as f64;
            assert!(off <= ERROR, "{p}: {found} for {expected}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn a_bucket_is_not_far_off(nanos in 1024u64..24 * 3600 * 1_000_000_000) {
            let middle = middle(bucket(Duration::from_nanos(nanos))).as_nanos() as f64;
            prop_assert!((middle - nanos as f64).abs() / nanos as f64 <= ERROR);
        }

        #[test]
        fn quantiles_are_those_of_the_list(
            mut latencies in prop::collection::vec(1024u64..1 << 46, 1..200),
            p in 0.0f64..=1.0,
        ) {
            let found = of(&latencies).quantile(p).unwrap().as_nanos() as f64;
            latencies.sort_unstable();
            let rank = ((latencies.len() as f64 * p).ceil() as usize).clamp(1, latencies.len());
            let exact = latencies[rank - 1] as f64;
            prop_assert!((found - exact).abs() / exact <= ERROR);
        }
    }
}
