//! What one generation can say of itself: for `status`, and for the log. It changes nothing.

use std::collections::BTreeMap;

use super::Running;
use crate::{
    cluster::Pid,
    master::{
        children::Child,
        router::Counters,
        state::Slot,
        status::{AppStatus, ProcessStatus, SlotStatus},
    },
};

impl Running {
    pub(in super::super) fn report_drops(&mut self) {
        let dropped = self.router.dropped();
        let new = dropped.saturating_sub(self.drops_reported);
        if new > 0 {
            self.drops_reported = dropped;
            tracing::warn!(
                app = self.release.app.name,
                messages = new,
                "dropped: their receivers were too slow, or gone"
            );
        }
    }

    /// Dropped messages and late answers.
    pub(in super::super) fn losses(&self) -> (u64, u64) {
        (self.router.dropped(), self.router.late_answers())
    }

    /// How it is.
    pub(in super::super) fn status(&self) -> AppStatus {
        let counters: BTreeMap<Pid, Counters> = self.router.counters().collect();
        AppStatus {
            name: self.release.app.name.clone(),
            version: self.release.app.version.clone(),
            address: self.front.address(),
            dropped: self.router.dropped(),
            late_answers: self.router.late_answers(),
            generation: self.generation,
            slots: self.cluster.slots().map(|slot| self.slot_status(slot, &counters)).collect(),
        }
    }

    fn slot_status(&self, slot: &Slot, counters: &BTreeMap<Pid, Counters>) -> SlotStatus {
        let process = slot.process().map(|process| {
            let Counters { received, sent, dropped } =
                counters.get(&process.pid).copied().unwrap_or_default();
            let os_pid = self.children.get(&process.pid).map_or(0, Child::os_pid);
            ProcessStatus { pid: process.pid, os_pid, state: process.state, received, sent, dropped }
        });
        SlotStatus {
            role: slot.role,
            slot: slot.slot,
            process,
            failing: slot.is_failing(),
            restarts: slot.restarts(),
            last_exit: slot.last_exit().map(str::to_owned),
        }
    }
}
