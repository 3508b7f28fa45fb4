//! What is known of a generation's broker, whichever process it is: for `status`, and for the app's limits. Part
//! of `broker`, whose task writes it and whose owner reads it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    ipc::counters::{Reader, Snapshot},
    master::{
        helpers::Helper,
        state::backoff::{Backoff, STEADY},
        status::BrokerStatus,
    },
};

/// Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// `None` while the next one is waited for.
    process: Option<(Helper, Reader)>,
    backoff: Backoff,
    /// How many were started.
    started: u64,
    last_exit: Option<String>,
    /// What those counted that are gone.
    gone: Snapshot,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process has been started.
    pub(super) fn started(&self, helper: Helper, counters: Reader) {
        let mut inner = self.lock();
        inner.started += 1;
        inner.process = Some((helper, counters));
    }

    /// It is gone, or could not be started; its life began then. When the next one is to be started.
    pub(super) fn ended(&self, begun: Instant, reason: &str) -> Instant {
        let mut inner = self.lock();
        if let Some((_, counters)) = inner.process.take() {
            inner.gone.add(&counters.snapshot().ended());
        }
        inner.last_exit = Some(reason.to_owned());
        let wait = inner.backoff.ended(begun.elapsed(), fastrand::f64());
        Instant::now() + wait
    }

    /// The operating system's pid of the process that is there.
    pub(super) fn os_pid(&self) -> Option<u32> {
        let inner = self.lock();
        inner.process.as_ref().map(|(helper, _)| helper.os_pid()).filter(|os_pid| *os_pid > 0)
    }

    /// What all of its processes counted.
    pub(super) fn counts(&self) -> Snapshot {
        let inner = self.lock();
        let mut counts = inner.gone.clone();
        if let Some((_, counters)) = &inner.process {
            counts.add(&counters.snapshot());
        }
        counts
    }

    pub(super) fn status(&self) -> BrokerStatus {
        let counts = self.counts();
        let inner = self.lock();
        let is_steady = inner.process.as_ref().is_some_and(|(helper, _)| helper.age() >= STEADY);
        BrokerStatus {
            process: inner.process.as_ref().map(|(helper, _)| helper.status()),
            failing: inner.backoff.failing() && !is_steady,
            restarts: inner.started.saturating_sub(1),
            last_exit: inner.last_exit.clone(),
            asked: counts.requests,
            dialing: counts.in_flight,
            connected: counts.answered().saturating_sub(counts.errors()),
        }
    }
}
