//! Who is in a cluster: one agent and N workers per app. Mirrors `interface types` in `wit/`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The cluster's id of a process, counted from 1 by the master. Never reused while the master
/// lives, unique across apps, and not the operating system's pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid(pub u64);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One per app: schedules, long-lived work.
    Agent,
    /// N per app: requests, messages, tasks.
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agent => "agent",
            Self::Worker => "worker",
        })
    }
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Spawned; its guest's `start` has not returned.
    Starting,
    /// Takes requests, messages and tasks.
    Ready,
    /// Finishes what it has accepted and takes nothing new.
    Draining,
}

/// One process as its cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id in the cluster.
    pub pid: Pid,
    /// What it is for.
    pub role: Role,
    /// A worker's place, 0..N-1, which outlives the processes that fill it. 0 for the agent.
    pub slot: u32,
    /// The deployed version of the app, counted from 1.
    pub generation: u64,
    /// Where it is in its life.
    pub state: State,
}

impl Process {
    /// What receivers are told of a sender.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender { pid: self.pid, role: self.role, slot: self.slot }
    }
}

/// Who sent something. Only the master makes one, from the socket that it came in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The sender's id.
    pub pid: Pid,
    /// What the sender is.
    pub role: Role,
    /// The sender's slot.
    pub slot: u32,
}
