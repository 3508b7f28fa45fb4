//! The long-lived instance: one store, driven by one task, with many jobs at once.
//!
//! ```text
//!   jobs ──> run ──> calls (one future each) ──> guest
//!                      └── a trap ends them all: the store is dropped, and `start` makes a new one
//! ```
//!
//! Who owns it calls `start`, then `run`; after a trap again `start`. Jobs that wait stay queued.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Notify, mpsc};
use wasmtime::{Store, component::GuestTaskId};

use super::{
    Guest, Job, Settings,
    calls::Calls,
    clock::{Clock, Spin},
    guest::Live,
    http::InFlight,
    store::State,
};

/// How long calls that are still under way may take once `lifecycle.stop` has returned.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A guest's resident instance.
pub struct Resident {
    guest: Arc<Guest>,
    settings: Settings,
    jobs: mpsc::UnboundedReceiver<Job>,
    given_up: Arc<Notify>,
    live: Option<(Store<State>, Spin, Calls)>,
}

/// How others reach a resident instance, across its replacements. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    jobs: mpsc::UnboundedSender<Job>,
    given_up: Arc<Notify>,
}

impl Handle {
    /// Queues a job. When the instance has ended for good, the job's reply is dropped.
    ///
    /// There is no bound here: requests are bounded by the worker's gate, messages by the master's
    /// count of what was not yet consumed, questions by their askers' bounds.
    pub fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Ends the instance that runs now, as if it had trapped: it waits for something that does not
    /// come, and nothing else can run in it.
    pub fn give_up(&self) {
        self.given_up.notify_one();
    }
}

/// How [`Resident::run`] ended.
#[derive(Debug)]
pub enum Ended {
    /// After [`Job::Stop`], or because nobody can send jobs any more.
    Stopped,
    /// The guest trapped. What it had begun is answered with a failure.
    Trapped(anyhow::Error),
}

impl Resident {
    /// Makes nothing yet: see [`Resident::start`].
    #[must_use]
    pub fn new(guest: Arc<Guest>, settings: Settings) -> (Self, Handle) {
        let (sender, jobs) = mpsc::unbounded_channel();
        let given_up = Arc::new(Notify::new());
        let handle = Handle { jobs: sender, given_up: given_up.clone() };
        (Self { guest, settings, jobs, given_up, live: None }, handle)
    }

    /// Makes a fresh instance and calls its `lifecycle.start`.
    ///
    /// # Errors
    ///
    /// When it can't be instantiated, traps, returns an error, or takes longer than `timeout`.
    pub async fn start(&mut self, timeout: Duration) -> anyhow::Result<()> {
        self.live = None;
        let started = tokio::time::timeout(timeout, self.begin()).await;
        started.unwrap_or_else(|_| {
            let limit = humantime::format_duration(timeout);
            Err(anyhow::anyhow!("the guest's start has not returned within {limit} (`start-timeout`)"))
        })
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        let Live { mut store, spin, http, exports } = self.guest.instantiate(&self.settings).await?;
        let calls = Calls {
            http,
            exports,
            in_flight: InFlight::default(),
            messenger: self.settings.messenger.clone(),
        };
        let clock = &self.guest.engine.clock;
        let started = clocked(clock, &spin, store.run_concurrent(async |accessor| calls.start(accessor).await));
        match started.await.and_then(|inner| inner) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => anyhow::bail!("the guest's start returned an error: {why}"),
            Err(trap) => return Err(anyhow::Error::from(trap).context("the guest trapped in start")),
        }
        self.live = Some((store, spin, calls));
        Ok(())
    }

    /// Does jobs until it is told to stop, or a trap.
    pub async fn run(&mut self) -> Ended {
        let Some((mut store, spin, calls)) = self.live.take() else {
            return Ended::Trapped(anyhow::anyhow!("the instance was not started"));
        };
        let jobs = &mut self.jobs;
        let done = store.run_concurrent(async |accessor| {
            let mut running = FuturesUnordered::new();
            let stopping = poll_fn(|cx| {
                spin.reset();
                loop {
                    match running.poll_next_unpin(cx) {
                        Poll::Ready(Some(Err(trap))) => return Poll::Ready(Err(trap)),
                        Poll::Ready(Some(Ok(()))) => continue,
                        Poll::Ready(None) | Poll::Pending => {}
                    }
                    match jobs.poll_recv(cx) {
                        Poll::Ready(Some(Job::Stop) | None) => return Poll::Ready(wasmtime::error::Ok(())),
                        Poll::Ready(Some(job)) => running.push(calls.run(accessor, job)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            });
            stopping.await?;
            let rest = async { while running.next().await.transpose()?.is_some() {} wasmtime::error::Ok(()) };
            let (stopped, rest) = futures::future::join(
                calls.run(accessor, Job::Stop),
                tokio::time::timeout(STOP_GRACE, rest),
            )
            .await;
            stopped?;
            rest.unwrap_or(Ok(()))
        });
        let done = clocked(&self.guest.engine.clock, &spin, done);
        let ended = tokio::select! {
            ended = done => ended.and_then(|inner| inner),
            () = self.given_up.notified() => Err(wasmtime::format_err!(
                "the guest waited for longer than `request-timeout`, and nothing else could run in it"
            )),
        };
        match ended {
            Ok(()) => Ended::Stopped,
            Err(trap) => {
                calls.in_flight.trapped(&call_stack(&mut store), &trap);
                Ended::Trapped(trap.into())
            }
        }
    }
}

/// The tasks on the store's stack, the trapped one first.
pub(super) fn call_stack(store: &mut Store<State>) -> Vec<GuestTaskId> {
    use wasmtime::AsContextMut as _;
    store.as_context_mut().async_call_stack().map(Iterator::collect).unwrap_or_default()
}

/// Drives guest code with the clock running.
pub(super) async fn clocked<T>(clock: &Clock, spin: &Spin, guest: impl Future<Output = T>) -> T {
    let mut guest = pin!(guest);
    poll_fn(|cx| {
        spin.polled();
        let _running = clock.enter();
        guest.as_mut().poll(cx)
    })
    .await
}
