//! An app's limits as `status` shows them: each with what is taken of it now, and how often it was hit.
//! What only the system knows, `measure` fills in.

use crate::{
    cluster::{Limit, Role},
    ipc::counters::Snapshot,
    manifest::App,
    master::status::{LimitStatus, Scope, Unit},
    sys::limits::machine_memory,
};

/// Limits that are known to have been hit by what is said of a process that goes.
const REASONS: [&str; 5] = ["process-memory", "trap-limit", "hang-timeout", "app-memory", START_TIMEOUT];

/// Of which the master says so itself.
const START_TIMEOUT: &str = "start-timeout";

/// How often a process went for a limit's sake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reasons([u64; REASONS.len()]);

impl Reasons {
    /// A process is gone, or is to be replaced, and this is why.
    pub(super) fn note(&mut self, reason: &str) {
        for (count, key) in self.0.iter_mut().zip(REASONS) {
            *count += u64::from(reason.contains(&format!("`{key}`")));
        }
    }

    /// So many processes were killed since they were not ready in time.
    pub(super) fn add_late_starts(&mut self, late: u64) {
        for (count, key) in self.0.iter_mut().zip(REASONS) {
            *count += if key == START_TIMEOUT { late } else { 0 };
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    fn of(&self, key: &str) -> Option<u64> {
        REASONS.iter().position(|one| *one == key).map(|place| self.0[place])
    }
}

/// What was counted of a whole app.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    /// By its processes, also those that are gone.
    pub(super) counts: Snapshot,
    pub(super) reasons: Reasons,
    /// Messages and questions past `message-rate` that came to the master, and how many come now.
    pub(super) refused: u64,
    pub(super) rate: u64,
    /// The most bytes that wait for one process.
    pub(super) queued: u64,
    /// Messages that were dropped for any reason.
    pub(super) dropped: u64,
    /// The most connections of one worker.
    pub(super) connections: u64,
    /// The most requests in flight in one.
    pub(super) in_flight: u64,
    /// Workers that are there.
    pub(super) workers: u64,
    /// Bytes, and how often that was too much.
    pub(super) disk: (Option<u64>, u64),
    pub(super) memory: Option<u64>,
    /// The kernel counts the CPU time of its processes together.
    pub(super) has_cpu_group: bool,
}

/// All limits, in the order of the manual.
pub(super) fn table(app: &App, seen: &Counted) -> Vec<LimitStatus> {
    use Scope::{App as OfApp, Instance, Message, Process, Request, Worker};
    use Unit::{Bytes, BytesPerSecond, Hundredths, Milliseconds, Number, PerSecond};
    let limits = &app.limits;
    let role = if app.worker.is_some() { Role::Worker } else { Role::Agent };
    let hits = |limit: Limit| Some(seen.counts.hits[limit as usize]);
    let mut rows = vec![];
    let mut row = |key: &str, scope, unit, limit: Option<u64>, used: Option<u64>, hits: Option<u64>| {
        let hits = hits.or_else(|| seen.reasons.of(key));
        rows.push(LimitStatus { key: key.to_owned(), scope, unit, limit, used, hits });
    };
    if let Some(worker) = &app.worker {
        row("workers", OfApp, Number, Some(worker.workers.get().into()), Some(seen.workers), None);
        let most = Some(worker.connections.get() as u64);
        row("connections", Worker, Number, most, Some(seen.connections), hits(Limit::Connections));
        row("concurrency", Worker, Number, Some(worker.concurrency.get() as u64), Some(seen.in_flight), None);
        let queued = Some(worker.queued_requests as u64);
        row("queued-requests", Worker, Number, queued, None, Some(seen.counts.refused));
    }
    let instance = Some(seen.counts.instance);
    row("memory", Instance, Bytes, Some(limits.memory as u64), instance, hits(Limit::Memory));
    let whole = app.process_memory(role, machine_memory());
    row("process-memory", Process, Bytes, Some(whole), None, None);
    row("app-memory", OfApp, Bytes, limits.app_memory, seen.memory, None);
    row("open-files", Process, Number, Some(app.open_files(role)), None, None);
    row("disk", OfApp, Bytes, Some(limits.disk), seen.disk.0, Some(seen.disk.1));
    // What holds: without a group of the app's each process has its share, and there is no cap.
    let of = if seen.has_cpu_group { OfApp } else { Process };
    row("cpu-weight", of, Number, Some(limits.cpu_weight.into()), None, None);
    let cpus = limits.cpus.filter(|_| seen.has_cpu_group).map(u64::from);
    row("cpus", OfApp, Hundredths, cpus, None, None);
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).ok();
    row("cpu-limit", Request, Milliseconds, millis(limits.cpu_limit), None, hits(Limit::Cpu));
    row("request-timeout", Request, Milliseconds, millis(limits.request_timeout), None, hits(Limit::Request));
    row("header-size", Request, Bytes, Some(limits.header_size as u64), None, hits(Limit::HeaderSize));
    row("body-size", Request, Bytes, limits.body_size, None, hits(Limit::BodySize));
    let late = hits(Limit::HeaderTimeout);
    row("header-timeout", Request, Milliseconds, millis(limits.header_timeout), None, late);
    row("body-timeout", Request, Milliseconds, millis(limits.body_timeout), None, hits(Limit::BodyTimeout));
    let slow = hits(Limit::WriteTimeout);
    row("write-timeout", Request, Milliseconds, millis(limits.write_timeout), None, slow);
    let most = Some(limits.outbound_connections as u64);
    row("outbound-connections", Process, Number, most, None, hits(Limit::OutboundConnections));
    row("outbound-size", Request, Bytes, Some(limits.outbound_size), None, hits(Limit::OutboundSize));
    let size = Some(limits.message_size as u64);
    row("message-size", Message, Bytes, size, None, hits(Limit::MessageSize));
    let refused = hits(Limit::MessageRate).map(|hits| hits.saturating_add(seen.refused));
    row("message-rate", OfApp, PerSecond, Some(limits.message_rate.into()), Some(seen.rate), refused);
    let dropped = seen.dropped.saturating_sub(seen.refused);
    let full = hits(Limit::QueueSize).map(|hits| hits.saturating_add(dropped));
    row("queue-size", Process, Bytes, Some(limits.queue_size as u64), Some(seen.queued), full);
    row("log-rate", Process, BytesPerSecond, Some(limits.log_rate), None, hits(Limit::LogRate));
    row("trap-limit", Process, Number, Some(limits.trap_limit as u64), None, None);
    row(START_TIMEOUT, Process, Milliseconds, millis(limits.start_timeout), None, None);
    row("stop-timeout", Process, Milliseconds, millis(limits.stop_timeout), None, None);
    row("hang-timeout", Process, Milliseconds, millis(limits.hang_timeout), None, None);
    row("drain-timeout", Process, Milliseconds, millis(limits.drain_timeout), None, None);
    row("compile-time", OfApp, Milliseconds, millis(limits.compile_time), None, None);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_their_limit() {
        let mut reasons = Reasons::default();
        for reason in [
            "out of memory: more than 768MiB (`process-memory`)",
            "has no more room for instances (`process-memory`)",
            "hangs: it has not answered for 10s (`hang-timeout`)",
            "out of memory: more than 1GiB (`app-memory`)",
            "signal 9",
        ] {
            reasons.note(reason);
        }
        let mut sum = Reasons::default();
        sum.add(&reasons);
        sum.note("the guest's start has not returned within 1s (`start-timeout`)");
        sum.add_late_starts(2);
        let counts = REASONS.map(|key| sum.of(key));
        assert_eq!(counts, [Some(2), Some(0), Some(1), Some(1), Some(3)]);
        assert_eq!(sum.of("memory"), None);
    }
}
