//! The long-lived instance: one store, driven by one task, with many jobs at once.
//!
//! ```text
//!   jobs ──> run ──> calls (one future each) ──> guest
//!                      └── a trap ends them all: the store is dropped, and `start` makes a new one
//! ```
//!
//! Who owns it calls `start`, then `run`; after a trap again `start`. Jobs that wait stay queued.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use futures::{
    FutureExt as _,
    stream::{FuturesUnordered, StreamExt as _},
};
use wasmtime::{
    Store,
    component::{Accessor, GuestTaskId},
};

use super::{
    Guest, Handle, Job, Requests, Settings, Wasi,
    calls::Calls,
    clock::{Clock, Spin},
    guest::Live,
    handle::{Queues, Request},
    http::InFlight,
    store::State,
    trap::describe,
};

/// How long calls that are still under way may take once `lifecycle.stop` has returned.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A guest's resident instance.
pub struct Resident {
    guest: Arc<Guest>,
    settings: Settings,
    /// Requests that are in the guest at once.
    concurrency: usize,
    queues: Queues,
    /// Of whichever instance lives.
    spin: Spin,
    live: Option<(Store<State>, Calls)>,
}

/// How [`Resident::run`] ended.
#[derive(Debug)]
pub enum Ended {
    /// After [`Job::Stop`], or because nobody can send jobs any more.
    Stopped,
    /// The guest trapped: why and where. What it had begun is answered with a failure.
    Trapped(String),
}

impl Resident {
    /// Makes nothing yet: see [`Resident::start`].
    #[must_use]
    pub fn new(guest: Arc<Guest>, settings: Settings, requests: Requests) -> (Self, Handle) {
        let spin = guest.engine.clock.spin();
        let (handle, queues) = Handle::new(requests, guest.engine.clock.clone());
        let concurrency = match guest.wasi() {
            // It can't be entered while a call waits.
            Wasi::P2 => 1,
            Wasi::P3 => requests.concurrency,
        };
        (Self { guest, settings, concurrency, queues, spin, live: None }, handle)
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
        let spin = &self.spin;
        spin.reset();
        let Live { mut store, http, exports } = self.guest.instantiate(&self.settings, spin).await?;
        let calls = Calls {
            http,
            exports,
            in_flight: InFlight::default(),
            messenger: self.settings.messenger.clone(),
        };
        let clock = &self.guest.engine.clock;
        let started =
            clocked(clock, spin, store.run_concurrent(async |accessor| calls.start(accessor).await));
        match started.await.and_then(|inner| inner) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => anyhow::bail!("the guest's start returned an error: {why}"),
            Err(trap) => anyhow::bail!("the guest trapped in start: {}", describe(&trap)),
        }
        self.live = Some((store, calls));
        Ok(())
    }

    /// Does jobs until it is told to stop, or a trap.
    pub async fn run(&mut self) -> Ended {
        let Some((mut store, calls)) = self.live.take() else {
            return Ended::Trapped("the instance was not started".to_owned());
        };
        let Queues { jobs, requests, progress, given_up } = &mut self.queues;
        // Both were about an instance that is no more.
        progress.made();
        let _ = given_up.notified().now_or_never();
        let spin = &self.spin;
        let (serial, concurrency) = (self.guest.wasi() == Wasi::P2, self.concurrency);
        let mut stopping = false;
        let done = store.run_concurrent(async |accessor| {
            let mut running = FuturesUnordered::new();
            let mut in_guest = 0;
            // Whose turn it is where only one call may be under way.
            let mut requests_first = false;
            poll_fn(|cx| {
                spin.reset();
                loop {
                    match running.poll_next_unpin(cx) {
                        Poll::Ready(Some(ended)) => {
                            let before = in_guest;
                            match ended {
                                Ok(Kind::Request) => in_guest -= 1,
                                Ok(Kind::Job) => {}
                                // Of the guest it says nothing.
                                Ok(Kind::Look) => continue,
                                Err(trap) => return Poll::Ready(Err(trap)),
                            }
                            // Jobs do not wait for requests that do not end, and say nothing of them.
                            if serial || in_guest < before {
                                progress.made();
                            }
                            continue;
                        }
                        Poll::Ready(None) | Poll::Pending => {}
                    }
                    if serial && !running.is_empty() {
                        return Poll::Pending;
                    }
                    requests_first = serial && !requests_first;
                    if !requests_first {
                        match jobs.poll_recv(cx) {
                            Poll::Ready(Some(Job::Stop) | None) => {
                                return Poll::Ready(wasmtime::error::Ok(()));
                            }
                            Poll::Ready(Some(job)) => {
                                running.push(call(&calls, accessor, Call::Job(job)));
                                continue;
                            }
                            Poll::Pending => {}
                        }
                    }
                    if in_guest < concurrency {
                        match requests.poll_recv(cx) {
                            // Its client has gone.
                            Poll::Ready(Some(request)) if request.reply.is_closed() => continue,
                            Poll::Ready(Some(request)) => {
                                in_guest += 1;
                                running.push(call(&calls, accessor, Call::Request(request)));
                                continue;
                            }
                            Poll::Ready(None) | Poll::Pending => {}
                        }
                    }
                    if !requests_first {
                        return Poll::Pending;
                    }
                }
            })
            .await?;
            stopping = true;
            let rest = async {
                while let Some(ended) = running.next().await {
                    ended?;
                }
                wasmtime::error::Ok(())
            };
            let (stopped, rest) =
                futures::future::join(calls.run(accessor, Job::Stop), tokio::time::timeout(STOP_GRACE, rest))
                    .await;
            stopped?;
            rest.unwrap_or(Ok(()))
        });
        let done = clocked(&self.guest.engine.clock, spin, done);
        let ended = tokio::select! {
            ended = done => ended.and_then(|inner| inner),
            () = given_up.notified() => Err(wasmtime::format_err!(
                "the guest waited for longer than `request-timeout`, and held back all else"
            )),
        };
        let Err(trap) = ended else { return Ended::Stopped };
        calls.in_flight.trapped(&call_stack(&mut store), &trap);
        if stopping {
            tracing::error!("the guest trapped while it stopped: {}", describe(&trap));
            return Ended::Stopped;
        }
        let reason = describe(&trap);
        self.settings.messenger.trapped(&reason);
        Ended::Trapped(reason)
    }
}

enum Call {
    Job(Job),
    Request(Request),
}

enum Kind {
    Job,
    /// A job that only looks.
    Look,
    Request,
}

async fn call(calls: &Calls, accessor: &Accessor<State>, what: Call) -> wasmtime::Result<Kind> {
    match what {
        Call::Job(job) => {
            let kind = if matches!(job, Job::CountHandles { .. }) { Kind::Look } else { Kind::Job };
            calls.run(accessor, job).await.map(|()| kind)
        }
        Call::Request(Request { request, reply, pass }) => {
            let _in_hand = pass;
            calls.serve(accessor, request, reply).await.map(|()| Kind::Request)
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
        let polled = guest.as_mut().poll(cx);
        spin.gave_way();
        polled
    })
    .await
}
