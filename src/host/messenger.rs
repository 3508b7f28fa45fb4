//! What a process offers to its guest's messages: the way out to the cluster.
//!
//! The host checks actions and sizes nowhere; whoever implements this does, since it knows the
//! limits and the queue.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;

use crate::cluster::{AskError, AskTarget, Limit, Pid, Process, SendError, Target};

/// A future that a guest's call waits for.
pub type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The cluster, as a guest's imports reach it.
pub trait Messenger: Send + Sync + 'static {
    /// Queues a message, or says at once why not. Never blocks.
    ///
    /// # Errors
    ///
    /// As `messenger.error` in `wit/`.
    fn send(&self, to: Target, action: String, data: &[u8]) -> Result<(), SendError>;

    /// Asks the agent or one process. A zero timeout means the longest one.
    fn ask(
        &self,
        to: AskTarget,
        action: String,
        data: &[u8],
        timeout: Duration,
    ) -> Waiting<Result<Bytes, AskError>>;

    /// Asks every worker that is ready.
    fn ask_app(
        &self,
        action: String,
        data: &[u8],
        timeout: Duration,
    ) -> Waiting<Result<Vec<Answer>, AskError>>;

    /// A message that this process was sent has been taken by the guest, with `bytes` as
    /// [`super::Message::queued_bytes`] has it.
    fn consumed(&self, bytes: usize);

    /// The guest trapped: why, and its functions below. An instance's life goes on elsewhere.
    fn trapped(&self, reason: &str);

    /// The guest came to a limit.
    fn hit(&self, limit: Limit);

    /// An instance has so many bytes of memories and tables by now.
    fn instance(&self, bytes: usize);

    /// This process.
    fn this(&self) -> Process;

    /// Every process of the app, the agent first, then the workers by slot.
    fn processes(&self) -> Vec<Process>;

    /// The app's name and version.
    fn app(&self) -> (String, String);
}

/// One process's answer to a question to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who answered, or should have.
    pub pid: Pid,
    /// How it ended.
    pub result: Result<Bytes, AskError>,
}
