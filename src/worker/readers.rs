//! Finds HTTP/2 clients that do not read a response: they can leave one unread while their connection
//! goes on, so that nothing is to be seen on its socket (`stream` sees HTTP/1's).
//!
//! ```text
//!   made, or a frame was given ── unread since then ── hyper asks for more ── the guest's turn
//! ```
//!
//! Hyper asks a body for more only when its client has made room.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use slab::Slab;
use tokio::time::{sleep, sleep_until};

use crate::host::ResponseBody;

/// The responses of one connection.
#[derive(Default)]
pub(super) struct Readers {
    /// Since when each is unread; none while the guest has nothing for it.
    unread: Mutex<Slab<Option<Instant>>>,
    any: AtomicBool,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Slab<Option<Instant>>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when one has been unread for so long; at the latest after twice that. To be polled by
    /// the connection's own task: that is woken to write a response's head, so nothing else need wake
    /// this, and it costs HTTP/1 nothing.
    pub(super) async fn stalled(&self, limit: Duration) {
        poll_fn(|_| if self.any.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
        loop {
            let oldest = self.lock().iter().filter_map(|(_, since)| *since).min();
            match oldest.map(|since| since + limit) {
                Some(due) if due <= Instant::now() => return,
                Some(due) => sleep_until(due.into()).await,
                None => sleep(limit).await,
            }
        }
    }
}

/// A response's body on its way to hyper.
pub(super) struct Watched {
    body: ResponseBody,
    watch: Option<Watch>,
}

struct Watch {
    readers: Arc<Readers>,
    key: usize,
}

impl Watched {
    /// Of a connection where that need not be known.
    pub(super) fn not(body: ResponseBody) -> Self {
        Self { body, watch: None }
    }

    /// Is unread from now on.
    pub(super) fn by(readers: Arc<Readers>, body: ResponseBody) -> Self {
        let key = readers.lock().insert(Some(Instant::now()));
        readers.any.store(true, Relaxed);
        Self { body, watch: Some(Watch { readers, key }) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.readers.lock().try_remove(self.key);
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(watch) = &this.watch
            && let Some(since) = watch.readers.lock().get_mut(watch.key)
        {
            *since = polled.is_ready().then(Instant::now);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
