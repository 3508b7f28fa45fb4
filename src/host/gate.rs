//! How many requests an instance, or a pool of them, has in hand: those in the guest, and those that
//! wait for their turn. A request that finds it full is refused, not queued.
//!
//! A request stays in hand until the guest is done with it, whether or not its client still waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The bounds of [`Gate`].
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// The most that are in the guest at once.
    pub concurrency: usize,
    /// The most that wait.
    pub queued: usize,
}

/// Counts requests against a bound. Clones are one gate.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    limit: usize,
    concurrency: usize,
    inside: AtomicUsize,
}

/// One request in hand, until dropped.
pub(super) struct Pass(Arc<Inner>);

impl Gate {
    pub(super) fn new(requests: Requests) -> Self {
        let limit = requests.concurrency.saturating_add(requests.queued);
        let concurrency = requests.concurrency;
        Self(Arc::new(Inner { limit, concurrency, inside: AtomicUsize::new(0) }))
    }

    /// None when it is full.
    pub(super) fn enter(&self) -> Option<Pass> {
        let room = |inside| (inside < self.0.limit).then_some(inside + 1);
        self.0.inside.fetch_update(Relaxed, Relaxed, room).ok()?;
        Some(Pass(self.0.clone()))
    }

    /// Are more in hand than the guest may have, so that some wait?
    pub(super) fn has_waiting(&self) -> bool {
        self.0.inside.load(Relaxed) > self.0.concurrency
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses_what_is_past_its_bound() {
        let gate = Gate::new(Requests { concurrency: 1, queued: 2 });
        let mut inside: Vec<_> = std::iter::from_fn(|| gate.enter()).collect();
        assert_eq!(inside.len(), 3);
        inside.pop();
        assert!(gate.has_waiting());
        inside.pop();
        assert!(!gate.has_waiting(), "the guest has the only one");
        assert!(gate.enter().is_some());
    }
}
