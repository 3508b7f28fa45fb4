//! A fresh instance for each request, from the pool. Nothing is shared between two of them, and no
//! lifecycle function is called.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, oneshot};

use super::{
    Failure, Guest, IncomingRequest, Response, Settings,
    guest::Live,
    http::{self, InFlight},
    resident::{call_stack, clocked},
};

/// Serves requests, each by an instance of its own.
pub struct PerRequest {
    guest: Arc<Guest>,
    settings: Settings,
    instances: Arc<Semaphore>,
    timeout: Duration,
}

impl PerRequest {
    /// At most `instances` at once, each for `timeout` at the most; the rest wait.
    #[must_use]
    pub fn new(guest: Arc<Guest>, settings: Settings, instances: usize, timeout: Duration) -> Self {
        let instances = Arc::new(Semaphore::new(instances.min(Semaphore::MAX_PERMITS)));
        Self { guest, settings, instances, timeout }
    }

    /// Begins a request. Its instance lives until the guest is done, which may be after the response
    /// has been given.
    pub fn serve(&self, request: IncomingRequest, reply: oneshot::Sender<Result<Response, Failure>>) {
        let (guest, settings, instances) =
            (self.guest.clone(), self.settings.clone(), self.instances.clone());
        let timeout = self.timeout;
        tokio::spawn(async move {
            let Ok(_permit) = instances.acquire_owned().await else { return };
            match tokio::time::timeout(timeout, serve(&guest, &settings, request, reply)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("a request's instance failed: {error:#}"),
                Err(_) => tracing::warn!(
                    "a request's instance was ended after {} (`request-timeout`)",
                    humantime::format_duration(timeout)
                ),
            }
        });
    }
}

async fn serve(
    guest: &Guest,
    settings: &Settings,
    request: IncomingRequest,
    reply: oneshot::Sender<Result<Response, Failure>>,
) -> anyhow::Result<()> {
    let Live { mut store, spin, http, exports: _ } = guest.instantiate(settings).await?;
    let Some(http) = http else { return Ok(()) };
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
        trap.into()
    })
}
