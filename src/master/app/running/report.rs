//! What one generation can say of itself: for `status`, and for the log. It changes nothing.

use std::{collections::BTreeMap, time::Instant};

use super::Running;
use crate::{
    cluster::{Pid, Process, Role},
    ipc::counters::Snapshot,
    master::{
        app::limits::{Counted, Reasons},
        broker::Broker,
        children::Child,
        router::Counters,
        state::{Slot, canary::Counts},
        status::{GenerationState, GenerationStatus, ProcessStatus, SlotStatus, Traffic},
    },
};

/// What was counted for each child, at one moment.
struct Seen {
    messages: BTreeMap<Pid, Counters>,
    requests: BTreeMap<Pid, Snapshot>,
}

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

    /// The first worker from this slot on that is not ready, by name, and why its last process ended.
    pub(in super::super) fn lacks(&self, from: u32) -> Option<(String, Option<&str>)> {
        let is_lacking = |slot: &&Slot| {
            slot.role == Role::Worker && slot.slot >= from && !slot.is_retired() && !slot.is_ready()
        };
        let slot = self.cluster.slots().find(is_lacking)?;
        Some((slot.name(), slot.last_exit()))
    }

    /// `cache 0.1.0 (generation 2)`, without the app's name.
    pub(in super::super) fn version(&self) -> String {
        format!("version {} (generation {})", self.release.app.version, self.generation)
    }

    /// Dropped messages and late answers.
    pub(in super::super) fn losses(&self) -> (u64, u64) {
        (self.router.dropped(), self.router.late_answers())
    }

    /// Messages past `message-rate`, and how many come now.
    pub(in super::super) fn rate(&self) -> (u64, u64) {
        self.router.rate(Instant::now())
    }

    /// For which limits' sake processes went.
    pub(in super::super) fn reasons(&self) -> Reasons {
        let mut reasons = self.reasons;
        reasons.add_late_starts(self.cluster.late_starts());
        reasons
    }

    /// Adds what it knows.
    pub(in super::super) fn count_limits(&self, seen: &mut Counted) {
        let (refused, rate) = self.rate();
        seen.refused += refused;
        seen.rate += rate;
        seen.queued = seen.queued.max(self.router.queued() as u64);
        seen.reasons.add(&self.reasons());
        for child in self.children.values() {
            let counts = child.counts();
            seen.connections = seen.connections.max(counts.connections);
            seen.in_flight = seen.in_flight.max(counts.in_flight);
            seen.workers += u64::from(child.role() == Role::Worker);
        }
    }

    /// What its children counted, also those that are gone.
    pub(in super::super) fn counts(&self) -> Snapshot {
        self.with_gone(&self.requests())
    }

    /// What each child has counted by now.
    fn requests(&self) -> BTreeMap<Pid, Snapshot> {
        self.children.iter().map(|(pid, child)| (*pid, child.counts())).collect()
    }

    fn with_gone(&self, children: &BTreeMap<Pid, Snapshot>) -> Snapshot {
        let mut sum = self.gone.clone();
        children.values().for_each(|counts| sum.add(counts));
        if let Some(broker) = &self.broker {
            sum.add(&broker.counts().hits_alone());
        }
        sum
    }

    /// For a comparison with another generation.
    pub(in super::super) fn compared(&self) -> Counts {
        Counts { seen: self.counts(), crashes: self.crashes }
    }

    /// How it is, and what it is there for; and [`Self::counts`], as they went into it. What a child has
    /// counted is read once, since that is its whole histogram.
    pub(in super::super) fn status(&self, state: GenerationState) -> (GenerationStatus, Snapshot) {
        let seen = Seen { messages: self.router.counters().collect(), requests: self.requests() };
        let counts = self.with_gone(&seen.requests);
        let status = GenerationStatus {
            generation: self.generation,
            version: self.release.app.version.clone(),
            state,
            traffic: Traffic::from(&counts),
            slots: self.cluster.slots().map(|slot| self.slot_status(slot, &seen)).collect(),
            broker: self.broker.as_ref().map(Broker::status),
        };
        (status, counts)
    }

    fn slot_status(&self, slot: &Slot, seen: &Seen) -> SlotStatus {
        let current = slot.process();
        let others = slot.processes().filter(|one| current.as_ref().is_none_or(|it| it.pid != one.pid));
        SlotStatus {
            role: slot.role,
            slot: slot.slot,
            others: others.map(|process| self.process_status(&process, seen)).collect(),
            process: current.map(|process| self.process_status(&process, seen)),
            failing: slot.is_failing(),
            restarts: slot.restarts(),
            last_exit: slot.last_exit().map(str::to_owned),
        }
    }

    fn process_status(&self, process: &Process, seen: &Seen) -> ProcessStatus {
        let messages = seen.messages.get(&process.pid).copied().unwrap_or_default();
        let Counters { received, sent, dropped } = messages;
        let child = self.children.get(&process.pid);
        let os_pid = child.map_or(0, Child::os_pid);
        ProcessStatus {
            pid: process.pid,
            os_pid,
            state: process.state,
            received,
            sent,
            dropped,
            generation: process.generation,
            uptime_seconds: child.map_or(0, |child| child.age().as_secs()),
            // `measure` looks.
            memory_bytes: None,
            cpu_seconds: None,
            traffic: seen.requests.get(&process.pid).map(Traffic::from).unwrap_or_default(),
            sandbox: child.and_then(Child::sandbox),
        }
    }
}
