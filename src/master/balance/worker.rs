//! One worker as the balance sees it. Only `balance` uses it; pure.

use std::time::Instant;

use super::{MAX_UNDER_WAY, Violation};
use crate::cluster::Pid;

/// One that takes connections, or does not for the moment.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) pid: Pid,
    pub(super) generation: u64,
    /// Offered and sent.
    pub(super) under_way: usize,
    /// Taken and not closed.
    pub(super) open: usize,
    /// It has not answered an offer, or not taken what it was sent, in time; and said nothing since.
    pub(super) stalled: bool,
    /// It refused, and has no room until then.
    pub(super) full_until: Option<Instant>,
    /// Its guest computes: others are preferred until then.
    pub(super) busy_until: Option<Instant>,
    /// Offers and connections that it was sent and has said nothing to.
    pub(super) owed: usize,
}

impl Worker {
    pub(super) fn new(pid: Pid, generation: u64) -> Self {
        Self {
            pid,
            generation,
            under_way: 0,
            open: 0,
            stalled: false,
            full_until: None,
            busy_until: None,
            owed: 0,
        }
    }

    /// It has answered. What it was not asked it can't answer: that would never end.
    pub(super) fn answers(&mut self) -> Result<(), Violation> {
        self.owed = self.owed.checked_sub(1).ok_or(Violation("answered more than it was asked"))?;
        self.stalled = false;
        Ok(())
    }

    /// It answers, and has room.
    pub(super) fn is_well(&self) -> bool {
        !self.stalled && self.full_until.is_none()
    }

    pub(super) fn takes_offers(&self) -> bool {
        self.is_well() && self.under_way < MAX_UNDER_WAY
    }
}
