//! Bodies to and from other hosts, and how much and how slow they may be.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{exchange::failure, outgoing::OnHit};
use crate::cluster::Limit;

/// What one request and its response may still have of bytes, together.
pub(super) struct Meter {
    left: AtomicU64,
    limit: u64,
    on_hit: OnHit,
    /// The first failure of the request's body, which hyper tells less well.
    failed: std::sync::Mutex<Option<Error>>,
}

impl Meter {
    pub(super) fn new(limit: u64, on_hit: OnHit) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(limit), limit, on_hit, failed: std::sync::Mutex::default() })
    }

    /// False where that is more than there may be.
    fn take(&self, bytes: usize) -> bool {
        let less = |left: u64| left.checked_sub(bytes as u64);
        let fits = self.left.fetch_update(Relaxed, Relaxed, less).is_ok();
        if !fits {
            (self.on_hit)(Limit::OutboundSize);
        }
        fits
    }

    fn fail(&self, error: Error) {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
    }

    /// Why the request's body failed, if it did. Once.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

/// How long the guest waits for more of a response.
pub(super) struct Patience {
    limit: Duration,
    /// Made when it first waits, and counted only while it does.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, timer: None, is_waiting: false }
    }

    /// Something came.
    fn ends(&mut self) {
        self.is_waiting = false;
    }

    /// Ready when it has waited for too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

/// A body within its bounds. After a failure it ends.
pub(super) struct Metered<B> {
    body: B,
    meter: Arc<Meter>,
    /// Of a response.
    patience: Option<Patience>,
    has_failed: bool,
}

impl Metered<WasiBody> {
    /// The guest's, which is waited for as long as the response's head is.
    pub(super) fn request(body: WasiBody, meter: Arc<Meter>) -> Self {
        Self { body, meter, patience: None, has_failed: false }
    }
}

impl Metered<Incoming> {
    /// The other host's.
    pub(super) fn response(body: Incoming, meter: Arc<Meter>, patience: Patience) -> Self {
        Self { body, meter, patience: Some(patience), has_failed: false }
    }
}

impl Body for Metered<WasiBody> {
    type Data = Bytes;
    /// Hyper only says that there was one; the meter keeps it.
    type Error = Failed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let error = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) if frame.data_ref().is_none_or(|data| this.meter.take(data.len())) => {
                return Poll::Ready(Some(Ok(frame)));
            }
            Some(Ok(_)) => Error::HttpRequestBodySize(Some(this.meter.limit)),
            Some(Err(error)) => error,
            None => return Poll::Ready(None),
        };
        this.meter.fail(error);
        Poll::Ready(Some(Err(Failed)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for Metered<Incoming> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.has_failed {
            return Poll::Ready(None);
        }
        let error = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                if let Some(patience) = &mut this.patience {
                    ready!(patience.poll(cx));
                }
                Error::ConnectionReadTimeout
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(patience) = &mut this.patience {
                    patience.ends();
                }
                if frame.data_ref().is_none_or(|data| this.meter.take(data.len())) {
                    return Poll::Ready(Some(Ok(frame)));
                }
                Error::HttpResponseBodySize(Some(this.meter.limit))
            }
            Poll::Ready(Some(Err(error))) => failure(&error, &this.meter),
        };
        this.has_failed = true;
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.has_failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body failed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request's body failed")]
pub(super) struct Failed;
