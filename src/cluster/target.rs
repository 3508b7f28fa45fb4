//! Whom a message or a question is for.

use serde::{Deserialize, Serialize};

use super::{Action, Pid};

/// What a message takes of a queue beside its data and its action, in bytes.
const MESSAGE_OVERHEAD: usize = 64;

/// What a message takes of its receiver's queue, in bytes: counted by the master when it sends it,
/// and by the receiver when its guest has taken it, hence here.
#[must_use]
pub fn queued_bytes(action: &Action, data: usize) -> usize {
    MESSAGE_OVERHEAD + action.as_str().len() + data
}

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
