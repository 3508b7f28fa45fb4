//! One worker as the balance sees it. Only `balance` uses it; pure.

use std::time::Instant;

use super::MAX_UNDER_WAY;
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
}

impl Worker {
    pub(super) fn new(pid: Pid, generation: u64) -> Self {
        Self { pid, generation, under_way: 0, open: 0, stalled: false, full_until: None, busy_until: None }
    }

    /// It answers, and has room.
    pub(super) fn is_well(&self) -> bool {
        !self.stalled && self.full_until.is_none()
    }

    pub(super) fn takes_offers(&self) -> bool {
        self.is_well() && self.under_way < MAX_UNDER_WAY
    }
}
