//! What the master knows of its apps, for `hatchery status`. Data only; `app` fills it in, and in
//! JSON it is what the admin socket says.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    cluster::{Pid, Role, State},
    ipc::counters::Snapshot,
    sys::sandbox::Report,
};

/// One app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Messages that were dropped, since the app started, also of processes that are gone.
    pub dropped: u64,
    /// Answers to questions that came too late.
    pub late_answers: u64,
    /// Of what serves, counted from 1.
    pub generation: u64,
    /// Since the app started, also of processes and generations that are gone.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// That which serves first, then one that is to, then those that drain.
    pub generations: Vec<GenerationStatus>,
    /// Where requests of its guests were not allowed to go, since the app started: the most often denied
    /// first. 64 at the most.
    pub denied: Vec<Denied>,
    /// Denied requests beside those.
    pub denied_more: u64,
    /// What it may take, with what it takes: those of what serves, in the order of the manual.
    pub limits: Vec<LimitStatus>,
}

/// An origin that was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Scheme, host and port, as in a URL.
    pub origin: String,
    /// How often.
    pub count: u64,
    /// Why.
    pub reason: String,
    /// The line of the manifest that would allow it; `None` where none would.
    pub allow: Option<String>,
}

/// One limit of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStatus {
    /// The manifest's key.
    pub key: String,
    /// Of what it is a limit.
    pub scope: Scope,
    /// Of `limit` and `used`.
    pub unit: Unit,
    /// `None` where there is none.
    pub limit: Option<u64>,
    /// What is taken now: of several the largest. `None` where nobody knows.
    pub used: Option<u64>,
    /// How often it was hit since the app started. `None` where that is not counted.
    pub hits: Option<u64>,
}

/// Of what a limit is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All processes together.
    App,
    /// Each process.
    Process,
    /// Each worker.
    Worker,
    /// Each instance; `used` is the most that one ever took.
    Instance,
    /// Each request.
    Request,
    /// Each message.
    Message,
}

/// A limit's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Milliseconds.
    Milliseconds,
    /// Any number.
    Number,
    /// So many a second.
    PerSecond,
    /// Hundredths of one.
    Hundredths,
}

impl AppStatus {
    /// Its brokers' processes.
    pub(super) fn brokers_mut(&mut self) -> impl Iterator<Item = &mut HelperStatus> {
        let brokers = self.generations.iter_mut().filter_map(|generation| generation.broker.as_mut());
        brokers.filter_map(|broker| broker.process.as_mut())
    }

    /// All of its agents and workers.
    pub(super) fn processes_mut(&mut self) -> impl Iterator<Item = &mut ProcessStatus> {
        let slots = self.generations.iter_mut().flat_map(|generation| &mut generation.slots);
        slots.flat_map(|slot| slot.process.iter_mut().chain(&mut slot.others))
    }
}

/// One deployed version of an app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// Counted from 1.
    pub generation: u64,
    /// The app's version.
    pub version: String,
    /// What it is there for.
    pub state: GenerationState,
    /// Since it started, also of its processes that are gone.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// The agent's first, then the workers'.
    pub slots: Vec<SlotStatus>,
    /// What connects to other hosts for them. `None` where they are granted none.
    #[serde(default)]
    pub broker: Option<BrokerStatus>,
}

/// Where a generation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationState {
    /// Starts, and is to serve.
    Coming,
    /// Gets new connections.
    Serving,
    /// Finishes what it has accepted, or could not start.
    Draining,
    /// Gets a share of the new connections, and is compared with what serves.
    Canary,
}

/// A place for a process, and who is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// What the process is for.
    pub role: Role,
    /// 0..N-1 for workers, 0 for the agent.
    pub slot: u32,
    /// `None` while the next process is waited for.
    pub process: Option<ProcessStatus>,
    /// It fails again and again.
    pub failing: bool,
    /// How many processes were put in place of another.
    pub restarts: u64,
    /// Why the last process ended.
    pub last_exit: Option<String>,
    /// Those that leave, and one that is to take over.
    pub others: Vec<ProcessStatus>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// The cluster's pid.
    pub pid: Pid,
    /// The operating system's pid.
    pub os_pid: u32,
    /// Where it is in its life.
    pub state: State,
    /// Messages that it sent.
    pub received: u64,
    /// Messages that were sent to it.
    pub sent: u64,
    /// Messages for it that were dropped, and those from it that nobody could take.
    pub dropped: u64,
    /// The app's generation that it is of.
    pub generation: u64,
    /// Since it was spawned.
    pub uptime_seconds: u64,
    /// Resident. `None` where the system does not say.
    pub memory_bytes: Option<u64>,
    /// User and system, since it was spawned. `None` where the system does not say.
    pub cpu_seconds: Option<f64>,
    /// Since it was spawned.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// What it has shut itself into. `None` as long as it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
}

/// A generation's broker. It counts from the generation's start, over all of its processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerStatus {
    /// `None` while the next process is waited for.
    pub process: Option<HelperStatus>,
    /// It fails again and again.
    pub failing: bool,
    /// How many processes were put in place of another.
    pub restarts: u64,
    /// Why the last process ended.
    pub last_exit: Option<String>,
    /// Connections that it was asked for.
    pub asked: u64,
    /// Those that are neither there nor refused yet.
    pub dialing: u64,
    /// Those that were made and handed over. How long they last, and what they carry, is with who has them.
    pub connected: u64,
}

/// A process that is neither an agent nor a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HelperStatus {
    /// What it is for.
    pub role: Helper,
    /// For whom. `None`: for no app, or for any.
    pub app: Option<String>,
    /// The operating system's pid.
    pub os_pid: u32,
    /// It is ready when it has said what it is shut into.
    pub state: State,
    /// Since it was started.
    pub uptime_seconds: u64,
    /// Resident. `None` where the system does not say.
    pub memory_bytes: Option<u64>,
    /// User and system, since it was started. `None` where the system does not say.
    pub cpu_seconds: Option<f64>,
    /// What it has shut itself into. `None` as long as it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
}

/// What such a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Helper {
    /// To connect to other hosts, for one generation of an app.
    Broker,
    /// To compile one component.
    Compiler,
    /// To look at bundles, once.
    Storekeeper,
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Compiler => "compiler",
            Self::Storekeeper => "storekeeper",
        })
    }
}

/// What a process is shut into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// As it says itself; its open files as the kernel says, now.
    #[serde(flatten)]
    pub report: Report,
    /// Its user, as the host sees it. Inside it is root of nothing.
    pub user: u32,
    /// What its cgroup lets it have of memory, in bytes. `None`: it has no cgroup of its own.
    pub cgroup_bytes: Option<u64>,
}

/// Requests, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests whose head was read.
    pub requests: u64,
    /// Those whose response's head is not there yet.
    pub in_flight: u64,
    /// Open connections.
    pub connections: u64,
    /// Responses of 500 and above, refusals included.
    pub errors: u64,
    /// Requests that were refused, since as many waited as may.
    pub refused: u64,
    /// Requests that were run again, since another one ended their instance.
    pub repeated: u64,
    /// The guest's traps.
    pub traps: u64,
    /// From a request's head to its response's, of the quicker half of all; 6 % exact. `None` without
    /// requests.
    pub p50_ms: Option<f64>,
    /// The same, of the quickest 99 of a hundred.
    pub p99_ms: Option<f64>,
}

impl From<&Snapshot> for Traffic {
    fn from(counts: &Snapshot) -> Self {
        let quantile = |p| counts.latency.quantile(p).map(millis);
        Self {
            requests: counts.requests,
            in_flight: counts.in_flight,
            connections: counts.connections,
            errors: counts.errors(),
            refused: counts.refused,
            repeated: counts.repeated,
            traps: counts.traps,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
        }
    }
}

/// To the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_units_and_is_flat() {
        let process = ProcessStatus {
            pid: Pid(7),
            os_pid: 42,
            state: State::Ready,
            received: 1,
            sent: 2,
            dropped: 3,
            generation: 4,
            uptime_seconds: 5,
            memory_bytes: Some(6),
            cpu_seconds: Some(0.5),
            traffic: Traffic { requests: 8, p99_ms: Some(1.5), ..Traffic::default() },
            sandbox: None,
        };
        let json = serde_json::to_value(&process).unwrap();
        let expected = serde_json::json!({
            "pid": 7, "os_pid": 42, "state": "ready", "received": 1, "sent": 2, "dropped": 3,
            "generation": 4, "uptime_seconds": 5, "memory_bytes": 6, "cpu_seconds": 0.5,
            "requests": 8, "in_flight": 0, "connections": 0, "errors": 0, "refused": 0, "repeated": 0,
            "traps": 0, "p50_ms": null, "p99_ms": 1.5,
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<ProcessStatus>(json).unwrap(), process);
    }
}
