//! What can become of a send or a question, as `wit/` has it. Guests branch on these.

use serde::{Deserialize, Serialize};

use super::InvalidAction;

/// Why a send was refused (`messenger.error`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The action breaks the rule.
    #[error(transparent)]
    InvalidAction(#[from] InvalidAction),
    /// The data is larger than the app's `message-size`, in bytes.
    #[error("a message has at most {0} bytes of data")]
    TooLarge(u64),
    /// The queue to the master is full, or the app sends more than its `message-rate`.
    #[error("the queue to the master is full")]
    Overloaded,
    /// No process has this pid.
    #[error("no such process")]
    NoSuchProcess,
    /// The process is stopping.
    #[error("the process is stopping")]
    Unavailable,
}

/// How a question ended without an answer (`requests.ask-error`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AskError {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No process has this pid, or it went away before it answered.
    #[error("no such process")]
    NoSuchProcess,
    /// Nothing there that answers questions.
    #[error("the process exports no responder")]
    NoResponder,
    /// The responder said so, or trapped.
    #[error("{0}")]
    Failed(String),
    /// Too many open questions, or the queue to the master is full.
    #[error("too many open questions")]
    Overloaded,
    /// The action breaks the rule.
    #[error("{0}")]
    InvalidAction(String),
    /// The data is larger than the app's `message-size`, in bytes.
    #[error("a question has at most {0} bytes of data")]
    TooLarge(u64),
}
