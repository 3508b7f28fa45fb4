//! What a resident instance is asked to do.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::cluster::{Action, AskError, Process, Sender};

/// Where a result goes. Dropped unused when the instance ends first.
pub type Reply<T> = oneshot::Sender<T>;

/// A message or a question, as the guest gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name.
    pub action: Action,
    /// What it carries.
    pub data: Bytes,
    /// Stamped by the master.
    pub sender: Sender,
}

impl Message {
    /// What it takes of its receiver's queue, in bytes.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        crate::cluster::queued_bytes(&self.action, self.data.len())
    }
}

/// One call of the guest. Those that it does not export end at once.
pub enum Job {
    /// `lifecycle.cluster-ready`.
    ClusterReady,
    /// `lifecycle.processes-changed`.
    ProcessesChanged(Vec<Process>),
    /// `receiver.on-message`. The messenger hears when it has been taken.
    Message(Message),
    /// `responder.on-request`.
    Question {
        /// What is asked.
        question: Message,
        /// The answer.
        reply: Reply<Result<Bytes, AskError>>,
    },
    /// `task.run`.
    Task {
        /// The schedule's name.
        name: String,
        /// The schedule's payload.
        payload: Option<Bytes>,
        /// How it ended, and after how long.
        reply: Reply<(Duration, Result<(), String>)>,
    },
    /// `lifecycle.stop`; what was begun is finished, and the instance ends.
    Stop,
    /// No call: how many handles does the instance hold?
    CountHandles {
        /// Their number.
        reply: Reply<usize>,
    },
}
