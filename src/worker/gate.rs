//! How many requests a worker has in hand: those in the guest, and those that wait for their turn.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Counts requests against a bound. A request that finds it full is refused, not queued.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

struct Inner {
    limit: usize,
    inside: AtomicUsize,
}

/// One request in hand, until dropped.
pub(super) struct Pass(Arc<Inner>);

impl Gate {
    /// `concurrency` in the guest and `queued` waiting.
    pub(super) fn new(concurrency: usize, queued: usize) -> Self {
        let limit = concurrency.saturating_add(queued);
        Self(Arc::new(Inner { limit, inside: AtomicUsize::new(0) }))
    }

    /// None when it is full.
    pub(super) fn enter(&self) -> Option<Pass> {
        let room = |inside| (inside < self.0.limit).then_some(inside + 1);
        self.0.inside.fetch_update(Relaxed, Relaxed, room).ok()?;
        Some(Pass(self.0.clone()))
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
        let gate = Gate::new(1, 2);
        let mut inside: Vec<_> = std::iter::from_fn(|| gate.enter()).collect();
        assert_eq!(inside.len(), 3);
        inside.pop();
        assert!(gate.enter().is_some());
    }
}
