//! When a worker has served long enough and asks to be replaced. [`Bounds`] is pure: what a worker
//! has behind it comes in, a reason comes out; [`Wearing`] looks at the clock, the memory and the
//! resident instance's handles.
//!
//! The master forks the next one first, and takes this one out when that is ready. Bounds have
//! jitter, so that workers that began together do not go together.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    time::{Interval, interval},
};

use super::connection::Connections;
use crate::{
    cluster::Role,
    host::Handle,
    manifest::{App, Recycle},
    sys::{limits, usage},
};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(500);

/// A process may come near its `process-memory` again at once. That must not mean one after the other.
const SETTLED: Duration = Duration::from_secs(2);

/// How far a bound may move, to either side.
const JITTER: f64 = 0.1;

/// This worker, on its way to its bounds.
pub(super) struct Wearing {
    bounds: Option<Bounds>,
    since: Instant,
    look: Interval,
    handles: Option<Handles>,
}

impl Wearing {
    /// From now on, which is not before the cluster is ready: the master replaces nobody until then, and
    /// a reason is given once. The handles are those of `resident`, where there is such an instance.
    pub(super) fn new(app: &App, resident: Option<Handle>) -> Self {
        let bounds = app.worker.as_ref().map(|worker| Bounds::new(&worker.recycle, fastrand::f64()));
        let bounds = bounds.map(|bounds| Bounds { taken: most_taken(app), ..bounds });
        Self { bounds, since: Instant::now(), look: interval(LOOK), handles: resident.map(Handles::of) }
    }

    /// Returns why, once, when a bound is reached. Dropping the future loses nothing.
    pub(super) async fn out(&mut self, connections: &Connections) -> String {
        let Some(bounds) = self.bounds else { return pending().await };
        loop {
            tokio::select! {
                _ = self.look.tick() => self.handles.iter_mut().for_each(Handles::look),
                () = counted(&mut self.handles) => {}
            }
            // Read only where there is a bound: every worker looks, twice a second.
            let memory = bounds.memory.and_then(|_| usage::resident().ok());
            let taken = bounds.taken.and_then(|_| usage::data().ok());
            let wear = Wear {
                requests: connections.requests(),
                age: self.since.elapsed(),
                memory: memory.unwrap_or_default(),
                handles: self.handles.as_ref().map_or(0, |handles| handles.last as u64),
                taken: taken.unwrap_or_default(),
            };
            if let Some(reason) = bounds.reached(&wear) {
                self.bounds = None;
                return reason;
            }
        }
    }
}

/// The handles of a resident instance, as far as they are known.
struct Handles {
    guest: Handle,
    /// The count that is under way. A guest that computes, or a WASI 0.2 one that waits, is in its way.
    counting: Option<oneshot::Receiver<usize>>,
    /// The last count, and the guest's entries at that time.
    last: usize,
    entries: u64,
}

impl Handles {
    fn of(guest: Handle) -> Self {
        Self { guest, counting: None, last: 0, entries: 0 }
    }

    /// Has them counted, unless the guest has not run since the last time: a count wakes threads that
    /// sleep in an idle worker.
    fn look(&mut self) {
        if self.counting.is_none() && self.guest.entries() != self.entries {
            self.counting = Some(self.guest.count_handles());
        }
    }
}

/// Returns when a count has come in, if one is under way.
async fn counted(handles: &mut Option<Handles>) {
    let Some(Handles { guest, counting, last, entries }) = handles else { return pending().await };
    let Some(count) = counting else { return pending().await };
    // An instance that ended first holds nothing any more.
    *last = count.await.unwrap_or(0);
    *entries = guest.entries();
    *counting = None;
}

/// What a pool may take before there is no more room for one instance. A slot of it keeps what its last
/// instance grew to, as the kernel counts: once the cap was reached, new instances would find less for
/// ever, though all others are gone.
fn most_taken(app: &App) -> Option<u64> {
    app.worker.as_ref().filter(|worker| worker.pooled() > 0)?;
    let whole = app.process_memory(Role::Worker, limits::machine_memory());
    let room = (app.limits.memory as u64).min(whole / 4);
    Some(limits::data_cap().ok()?.saturating_sub(room))
}

/// What a worker has behind it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wear {
    /// Requests that it was given.
    pub(super) requests: u64,
    /// Since its cluster was ready.
    pub(super) age: Duration,
    /// Resident, in bytes.
    pub(super) memory: u64,
    /// Held by its resident instance.
    pub(super) handles: u64,
    /// Asked for, used or not, in bytes.
    pub(super) taken: u64,
}

/// One worker's bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    requests: Option<u64>,
    age: Option<Duration>,
    memory: Option<u64>,
    handles: u64,
    taken: Option<u64>,
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
            handles: moved(u64::from(recycle.handles)),
            taken: None,
        }
    }

    /// Why it should go, if it should.
    pub(super) fn reached(&self, wear: &Wear) -> Option<String> {
        let Wear { requests, age, memory, handles, taken } = *wear;
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
        if handles >= self.handles {
            return Some(format!("holds {handles} handles (`recycle.handles`)"));
        }
        if age >= SETTLED && self.taken.is_some_and(|bound| taken > bound) {
            return Some("has no more room for instances (`process-memory`)".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::MAX_HANDLES;

    fn all() -> Recycle {
        Recycle {
            requests: Some(1000),
            age: Some(Duration::from_secs(100)),
            memory: Some(1 << 20),
            handles: 5000,
        }
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
            (Wear { handles: 4999, ..Wear::default() }, None),
            (Wear { handles: 5000, ..Wear::default() }, Some("holds 5000 handles (`recycle.handles`)")),
        ];
        for (wear, expected) in cases {
            assert_eq!(bounds.reached(&wear).as_deref(), expected, "{wear:?}");
        }
    }

    #[test]
    fn bounds_have_jitter() {
        for (random, requests, handles) in
            [(0.0, 900, 4500), (0.5, 1000, 5000), (1.0, 1100, 5500), (7.0, 1100, 5500)]
        {
            let bounds = Bounds::new(&all(), random);
            assert_eq!((bounds.requests, bounds.handles), (Some(requests), handles));
        }
        let one = Recycle { requests: Some(1), ..Recycle::default() };
        assert_eq!(Bounds::new(&one, 0.0).requests, Some(1), "never without a request");
    }

    #[test]
    fn by_default_only_handles_count() {
        let wear =
            Wear { requests: u64::MAX, age: Duration::MAX, memory: u64::MAX, handles: 0, taken: u64::MAX };
        for random in [0.0, 1.0] {
            let bounds = Bounds::new(&Recycle::default(), random);
            assert_eq!(bounds.reached(&wear), None);
            // Before its guest traps.
            assert!(bounds.reached(&Wear { handles: MAX_HANDLES as u64 * 2 / 3, ..wear }).is_some());
        }
    }

    #[test]
    fn a_pool_at_its_end_goes_but_not_at_once() {
        let bounds = Bounds { taken: Some(100), ..Bounds::new(&Recycle::default(), 0.5) };
        let wear = |age, taken| Wear { age: Duration::from_secs(age), taken, ..Wear::default() };
        for (age, taken, goes) in [(9, 100, false), (9, 101, true), (1, 101, false), (2, 101, true)] {
            assert_eq!(bounds.reached(&wear(age, taken)).is_some(), goes, "{age} {taken}");
        }
    }
}
