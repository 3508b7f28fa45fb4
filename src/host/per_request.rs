//! A fresh instance for each request, from the pool. Nothing is shared between two of them, and no
//! lifecycle function is called.
//!
//! ```text
//!   request ── waits for a free instance ── head within `request-timeout` ── body ── the guest's rest
//!                                                                              └── then LINGER at most
//! ```

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};

use super::{
    Busy, Failure, Guest, IncomingRequest, Requests, Response, Settings,
    gate::Gate,
    guest::Live,
    http::{self, InFlight},
    resident::{call_stack, clocked},
    trap::describe,
};

/// How long a guest may go on once its response has been sent, or its client has gone.
const LINGER: Duration = Duration::from_secs(30);

type Reply = oneshot::Sender<Result<Response, Failure>>;

/// Serves requests, each by an instance of its own.
pub struct PerRequest {
    guest: Arc<Guest>,
    settings: Settings,
    gate: Gate,
    instances: Arc<Semaphore>,
    timeout: Duration,
}

impl PerRequest {
    /// `timeout` is from the request to the head of its response.
    #[must_use]
    pub fn new(guest: Arc<Guest>, settings: Settings, requests: Requests, timeout: Duration) -> Self {
        let instances = Arc::new(Semaphore::new(requests.concurrency.min(Semaphore::MAX_PERMITS)));
        Self { guest, settings, gate: Gate::new(requests), instances, timeout }
    }

    /// Begins a request. Its instance lives until the guest is done, which may be after the response
    /// has been given.
    ///
    /// # Errors
    ///
    /// When as many are in hand as may be.
    pub fn serve(&self, request: IncomingRequest, mut reply: Reply) -> Result<(), Busy> {
        let pass = self.gate.enter().ok_or(Busy)?;
        let (guest, settings, instances) =
            (self.guest.clone(), self.settings.clone(), self.instances.clone());
        let limit = self.timeout;
        tokio::spawn(async move {
            let _in_hand = pass;
            let permit = tokio::select! {
                permit = instances.acquire_owned() => permit,
                () = reply.closed() => return,
            };
            let Ok(_permit) = permit else { return };
            let (head, got) = oneshot::channel();
            let overdue = tokio::spawn(answer(got, reply, limit));
            tokio::select! {
                biased;
                done = serve(&guest, &settings, request, head) => match done {
                    Ok(()) => {}
                    Err(error) => tracing::error!("a request's instance failed: {error:#}"),
                },
                _ = overdue => tracing::warn!("a request's instance was ended, since its guest did not end"),
            }
        });
        Ok(())
    }
}

/// Hands the response on. Returns when the instance has had its time.
async fn answer(got: oneshot::Receiver<Result<Response, Failure>>, reply: Reply, limit: Duration) {
    let Ok(Ok(result)) = timeout(limit, got).await else { return };
    let (body_gone, gone) = oneshot::channel::<()>();
    let result = result.map(|response| response.map(|body| body.until_gone(body_gone)));
    if reply.send(result).is_ok() {
        // Never sent: it is dropped with the body.
        let _ = gone.await;
    }
    sleep(LINGER).await;
}

async fn serve(
    guest: &Guest,
    settings: &Settings,
    request: IncomingRequest,
    reply: Reply,
) -> anyhow::Result<()> {
    let spin = guest.engine.clock.spin();
    let Live { mut store, http, exports: _ } = match guest.instantiate(settings, &spin).await {
        Ok(live) => live,
        Err(error) => {
            let _ = reply.send(Err(Failure::Trapped));
            return Err(error);
        }
    };
    let Some(http) = http else {
        let _ = reply.send(Err(Failure::NoResponse("the component answers no HTTP".to_owned())));
        return Ok(());
    };
    let in_flight = InFlight::default();
    let called = store.run_concurrent(async |accessor| {
        http::call(accessor, &http, request, &in_flight, reply).await?;
        // The guest may go on: a body that streams, work after the response.
        poll_fn(|cx| {
            spin.reset();
            accessor.poll_no_interesting_tasks(cx)
        })
        .await;
        wasmtime::error::Ok(())
    });
    let called = clocked(&guest.engine.clock, &spin, called).await.and_then(|inner| inner);
    called.map_err(|trap| {
        in_flight.trapped(&call_stack(&mut store), &trap);
        let reason = describe(&trap);
        settings.messenger.trapped(&reason);
        anyhow::anyhow!(reason)
    })
}
