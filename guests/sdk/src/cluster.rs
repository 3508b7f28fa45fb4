//! Who is there: this process, the others of its app, and what is deployed.

use serde::Serialize;

/// The cluster's id of a process, never reused while the cluster lives. Not the system's pid.
pub type Pid = u64;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One per app: long-lived work, subscriptions, timers.
    Agent,
    /// N per app: requests, messages, scheduled tasks.
    Worker,
}

impl Role {
    /// `agent` or `worker`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Worker => "worker",
        }
    }
}

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its `start` has not returned yet.
    Starting,
    /// Takes requests, messages and tasks.
    Ready,
    /// Finishes what it has accepted and takes nothing new.
    Draining,
}

/// One process of the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// What it is for.
    pub role: Role,
    /// A worker's place, 0..N-1, which outlives the processes that fill it. 0 for the agent.
    pub slot: u32,
    /// The deployed version of the app, counted from 1.
    pub generation: u64,
    /// How far it is.
    pub state: State,
}

/// What is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct App {
    /// `name` of the manifest.
    pub name: String,
    /// `version` of the manifest.
    pub version: String,
}

/// Who sent a message, as the master stamped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sender {
    /// Its id.
    pub pid: Pid,
    /// Agent or worker.
    pub role: Role,
    /// Its slot.
    pub slot: u32,
}

/// This process.
pub fn this() -> Process {
    crate::host::this()
}

/// All processes of this app, the agent first, then the workers by slot.
pub fn processes() -> Vec<Process> {
    crate::host::processes()
}

/// What is deployed.
pub fn app() -> App {
    crate::host::app()
}
