//! One process in a slot, from its spawn to its exit. Used by `slot` alone; pure.

use std::time::Instant;

use crate::cluster::{Pid, State};

/// Where a process is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Has until then to become ready.
    Starting { deadline: Instant },
    /// Since then.
    Ready { since: Instant },
    /// It was told to stop, and has until then; or as long as its whole cluster.
    Stopping { by: Option<Instant> },
    /// SIGKILL is on its way.
    Condemned { reason: String, ready_since: Option<Instant> },
}

/// A process.
#[derive(Debug)]
pub(super) struct Occupant {
    pub(super) pid: Pid,
    pub(super) life: Life,
}

impl Occupant {
    pub(super) fn new(pid: Pid, deadline: Instant) -> Self {
        Self { pid, life: Life::Starting { deadline } }
    }

    /// As its cluster sees it.
    pub(super) fn state(&self) -> State {
        match self.life {
            Life::Starting { .. } => State::Starting,
            Life::Ready { .. } => State::Ready,
            Life::Stopping { .. } | Life::Condemned { .. } => State::Draining,
        }
    }

    pub(super) fn is_starting(&self) -> bool {
        matches!(self.life, Life::Starting { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Ready { .. })
    }

    /// It is being killed, for this reason; the first one counts.
    pub(super) fn condemn(&mut self, reason: String) {
        let ready_since = match self.life {
            Life::Ready { since } => Some(since),
            Life::Condemned { .. } => return,
            Life::Starting { .. } | Life::Stopping { .. } => None,
        };
        self.life = Life::Condemned { reason, ready_since };
    }

    /// By when it must have become ready, or have gone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.life {
            Life::Starting { deadline } => Some(deadline),
            Life::Stopping { by } => by,
            Life::Ready { .. } | Life::Condemned { .. } => None,
        }
    }

    /// Since when it was ready, if ever, and why it went.
    pub(super) fn ended(self, exit: &str) -> (Option<Instant>, String) {
        match self.life {
            Life::Ready { since } => (Some(since), exit.to_owned()),
            Life::Condemned { reason, ready_since } => (ready_since, format!("{reason} ({exit})")),
            Life::Starting { .. } | Life::Stopping { .. } => (None, exit.to_owned()),
        }
    }
}
