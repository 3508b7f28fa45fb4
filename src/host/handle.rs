//! How others reach a resident instance, across its replacements.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    Failure, IncomingRequest, Job, Requests, Response,
    clock::Clock,
    gate::{Gate, Pass},
};

/// A request on its way to the guest.
pub(super) struct Request {
    pub(super) request: IncomingRequest,
    pub(super) reply: oneshot::Sender<Result<Response, Failure>>,
    pub(super) pass: Pass,
}

/// As many requests are in hand as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait")]
pub struct Busy;

/// Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    jobs: mpsc::UnboundedSender<Job>,
    requests: mpsc::UnboundedSender<Request>,
    gate: Gate,
    progress: Progress,
    given_up: Arc<Notify>,
    clock: Clock,
}

/// The instance's side of a [`Handle`].
pub(super) struct Queues {
    pub(super) jobs: mpsc::UnboundedReceiver<Job>,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    pub(super) progress: Progress,
    pub(super) given_up: Arc<Notify>,
}

impl Handle {
    /// Neither queue has a bound of its own: requests are bounded by the gate, messages by the
    /// master's count of what was not yet consumed, questions by their askers.
    pub(super) fn new(requests: Requests, clock: Clock) -> (Self, Queues) {
        let (jobs, job_queue) = mpsc::unbounded_channel();
        let (request_sender, request_queue) = mpsc::unbounded_channel();
        let (progress, given_up) = (Progress::default(), Arc::new(Notify::new()));
        let queues = Queues {
            jobs: job_queue,
            requests: request_queue,
            progress: progress.clone(),
            given_up: given_up.clone(),
        };
        let gate = Gate::new(requests);
        (Self { jobs, requests: request_sender, gate, progress, given_up, clock }, queues)
    }

    /// Queues a job. When the instance has ended for good, the job's reply is dropped.
    pub fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Queues a request. Its reply is dropped when the instance ends before it answers.
    ///
    /// # Errors
    ///
    /// When as many are in hand as may be.
    pub fn serve(
        &self,
        request: IncomingRequest,
        reply: oneshot::Sender<Result<Response, Failure>>,
    ) -> Result<(), Busy> {
        let pass = self.gate.enter().ok_or(Busy)?;
        let _ = self.requests.send(Request { request, reply, pass });
        Ok(())
    }

    /// Has no request ended for so long (of an instance that takes one call at a time: no call)? Only of
    /// use where it is known that some are under way.
    #[must_use]
    pub fn is_stuck(&self, timeout: Duration) -> bool {
        self.progress.last().elapsed() >= timeout
    }

    /// Asks how many handles the instance holds, for which it has to give way. The answer is dropped
    /// when the instance ends first.
    #[must_use]
    pub fn count_handles(&self) -> oneshot::Receiver<usize> {
        let (reply, count) = oneshot::channel();
        self.send(Job::CountHandles { reply });
        count
    }

    /// How often the guests of this process may have run so far. While this stays the same, the
    /// instance holds what it held.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.clock.entries()
    }

    /// Ends the instance that runs now, as if it had trapped: what it waits for does not come, and it
    /// holds back all else.
    pub fn give_up(&self) {
        self.given_up.notify_one();
    }

    /// Has the guest as many requests as it may, and do others wait for their turn?
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.gate.has_waiting()
    }
}

/// When the last call of the guest ended.
#[derive(Clone)]
pub(super) struct Progress {
    since: Instant,
    /// Milliseconds after `since`.
    last: Arc<AtomicU64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { since: Instant::now(), last: Arc::default() }
    }
}

impl Progress {
    /// A call has ended, or a fresh instance begun.
    pub(super) fn made(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
    }

    fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.last.load(Relaxed))
    }
}
