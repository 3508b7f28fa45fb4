//! When a worker has served long enough and asks to be replaced. [`Bounds`] is pure: what a worker
//! has behind it comes in, a reason comes out; [`Wearing`] looks at the clock and the memory.
//!
//! The master forks the next one first, and takes this one out when that is ready. Bounds have
//! jitter, so that workers that began together do not go together.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use tokio::time::{Interval, interval};

use super::connection::Connections;
use crate::{
    manifest::{App, Recycle},
    sys::usage,
};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);

/// How far a bound may move, to either side.
const JITTER: f64 = 0.1;

/// This worker, on its way to its bounds.
pub(super) struct Wearing {
    bounds: Option<Bounds>,
    since: Instant,
    look: Interval,
}

impl Wearing {
    /// From now on.
    pub(super) fn new(app: &App) -> Self {
        let recycle =
            app.worker.as_ref().map(|worker| worker.recycle).filter(|one| *one != Recycle::default());
        let bounds = recycle.map(|recycle| Bounds::new(&recycle, fastrand::f64()));
        Self { bounds, since: Instant::now(), look: interval(LOOK) }
    }

    /// Returns why, once, when a bound is reached. Dropping the future loses nothing.
    pub(super) async fn out(&mut self, connections: &Connections) -> String {
        let Some(bounds) = self.bounds else { return pending().await };
        loop {
            self.look.tick().await;
            let wear = Wear {
                requests: connections.requests(),
                age: self.since.elapsed(),
                memory: usage::resident().unwrap_or_default(),
            };
            if let Some(reason) = bounds.reached(&wear) {
                self.bounds = None;
                return reason;
            }
        }
    }
}

/// What a worker has behind it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wear {
    /// Requests that it was given.
    pub(super) requests: u64,
    /// Since it was ready.
    pub(super) age: Duration,
    /// Resident, in bytes.
    pub(super) memory: u64,
}

/// One worker's bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    requests: Option<u64>,
    age: Option<Duration>,
    memory: Option<u64>,
}

impl Bounds {
    /// `random` is in 0..=1 and differs from worker to worker.
    pub(super) fn new(recycle: &Recycle, random: f64) -> Self {
        let factor = 1.0 + JITTER * (2.0 * random.clamp(0.0, 1.0) - 1.0);
        let moved = |bound: u64| (bound as f64 * factor) as u64;
        Self {
            requests: recycle.requests.map(|requests| moved(requests).max(1)),
            age: recycle.age.map(|age| age.mul_f64(factor)),
            memory: recycle.memory.map(moved),
        }
    }

    /// Why it should go, if it should.
    pub(super) fn reached(&self, wear: &Wear) -> Option<String> {
        let Wear { requests, age, memory } = *wear;
        if self.requests.is_some_and(|bound| requests >= bound) {
            return Some(format!("has served {requests} requests (`recycle.requests`)"));
        }
        if self.age.is_some_and(|bound| age >= bound) {
            let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
            return Some(format!("is {age} old (`recycle.age`)"));
        }
        if self.memory.is_some_and(|bound| memory >= bound) {
            return Some(format!("takes {} (`recycle.memory`)", bytesize::ByteSize::b(memory)));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Recycle {
        Recycle { requests: Some(1000), age: Some(Duration::from_secs(100)), memory: Some(1 << 20) }
    }

    #[test]
    fn each_bound_counts() {
        let bounds = Bounds::new(&all(), 0.5);
        let cases = [
            (Wear::default(), None),
            (Wear { requests: 999, ..Wear::default() }, None),
            (
                Wear { requests: 1000, ..Wear::default() },
                Some("has served 1000 requests (`recycle.requests`)"),
            ),
            (Wear { age: Duration::from_secs(99), ..Wear::default() }, None),
            (
                Wear { age: Duration::from_millis(100_500), ..Wear::default() },
                Some("is 1m 40s old (`recycle.age`)"),
            ),
            (Wear { memory: 1 << 20, ..Wear::default() }, Some("takes 1.0 MiB (`recycle.memory`)")),
        ];
        for (wear, expected) in cases {
            assert_eq!(bounds.reached(&wear).as_deref(), expected, "{wear:?}");
        }
    }

    #[test]
    fn bounds_have_jitter() {
        for (random, requests) in [(0.0, 900), (0.5, 1000), (1.0, 1100), (7.0, 1100)] {
            assert_eq!(Bounds::new(&all(), random).requests, Some(requests));
        }
        let one = Recycle { requests: Some(1), ..Recycle::default() };
        assert_eq!(Bounds::new(&one, 0.0).requests, Some(1), "never without a request");
    }

    #[test]
    fn without_bounds_it_stays() {
        let bounds = Bounds::new(&Recycle::default(), 0.5);
        let wear = Wear { requests: u64::MAX, age: Duration::MAX, memory: u64::MAX };
        assert_eq!(bounds.reached(&wear), None);
    }
}
