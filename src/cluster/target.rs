//! Whom a message or a question is for.

use serde::{Deserialize, Serialize};

use super::Pid;

/// Whom a message is for, as `interface messenger` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Every worker and the agent.
    Broadcast,
    /// Every worker.
    App,
    /// The agent.
    Agent,
    /// One worker that is ready, which the master chooses.
    Random,
    /// That process.
    Pid(Pid),
}

/// Whom a question is for, as `interface requests` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskTarget {
    /// The agent.
    Agent,
    /// Every worker that is ready; one answer each.
    App,
    /// That process.
    Pid(Pid),
}
