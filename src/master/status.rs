//! What the master knows of its apps, for `hatchery status`. Data only; `app` fills it in.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::cluster::{Pid, Role, State};

/// One app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The agent's first, then the workers'.
    pub slots: Vec<SlotStatus>,
    /// Of what serves, counted from 1.
    pub generation: u64,
}

/// A place for a process, and who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}
