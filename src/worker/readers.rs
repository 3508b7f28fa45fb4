//! Finds HTTP/2 clients that do not read a response: they can leave one unread while their connection
//! goes on, so that nothing is to be seen on its socket (`stream` sees HTTP/1's).
//!
//! ```text
//!   a piece was given to hyper ── unread since then ── all of it is with the socket ── the guest's turn
//! ```
//!
//! Hyper asks a body for more, and drops it after its last piece, as soon as the client has room for one
//! byte of what came before; what is left waits in the connection. So each piece of data tells when it is
//! dropped itself. A client must take a piece, of no more than [`PIECE`] bytes, within the time; one that
//! does so piece by piece, and no faster, may keep what hyper holds of each response: two of them.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use slab::Slab;
use tokio::time::{sleep, sleep_until};

use crate::host::ResponseBody;

/// The most bytes that hyper is given at once: a frame of HTTP/2, where the client wants no larger ones.
const PIECE: usize = 16 * 1024;

/// The responses of one connection.
#[derive(Default)]
pub(super) struct Readers {
    responses: Mutex<Slab<Unread>>,
    any: AtomicBool,
}

/// What is unread of a response.
struct Unread {
    pieces: usize,
    /// Since when there is no more of them, and no less.
    since: Instant,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Slab<Unread>> {
        self.responses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when one has been unread for so long; at the latest after twice that. To be polled by
    /// the connection's own task: that is woken to write a response's head, so nothing else need wake
    /// this, and it costs HTTP/1 nothing.
    pub(super) async fn stalled(&self, limit: Duration) {
        poll_fn(|_| if self.any.load(Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
        loop {
            let oldest = self.oldest();
            match oldest.map(|since| since + limit) {
                Some(due) if due <= Instant::now() => return,
                Some(due) => sleep_until(due.into()).await,
                None => sleep(limit).await,
            }
        }
    }

    fn oldest(&self) -> Option<Instant> {
        let responses = self.lock();
        let unread = responses.iter().filter(|(_, unread)| unread.pieces > 0);
        unread.map(|(_, unread)| unread.since).min()
    }
}

/// A response's body on its way to hyper.
pub(super) struct Watched {
    body: ResponseBody,
    watch: Option<Arc<Watch>>,
    /// Of the guest's last data, what hyper was not given yet; empty without a watch.
    rest: Bytes,
}

/// One response, until its body and all of its pieces are gone.
struct Watch {
    readers: Arc<Readers>,
    key: usize,
}

impl Watched {
    /// Of a connection where that need not be known.
    pub(super) fn not(body: ResponseBody) -> Self {
        Self { body, watch: None, rest: Bytes::new() }
    }

    pub(super) fn by(readers: Arc<Readers>, body: ResponseBody) -> Self {
        let key = readers.lock().insert(Unread { pieces: 0, since: Instant::now() });
        readers.any.store(true, Relaxed);
        Self { body, watch: Some(Arc::new(Watch { readers, key })), rest: Bytes::new() }
    }
}

impl Watch {
    /// Data that is unread as long as it lives.
    fn give(self: &Arc<Self>, data: Bytes) -> Bytes {
        self.change(|pieces| pieces + 1);
        Bytes::from_owner(Piece { data, watch: Arc::clone(self) })
    }

    fn change(&self, by: impl Fn(usize) -> usize) {
        if let Some(unread) = self.readers.lock().get_mut(self.key) {
            *unread = Unread { pieces: by(unread.pieces), since: Instant::now() };
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.readers.lock().try_remove(self.key);
    }
}

/// What hyper is given, until it has written it.
struct Piece {
    data: Bytes,
    watch: Arc<Watch>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.watch.change(|pieces| pieces.saturating_sub(1));
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, watch, rest } = self.get_mut();
        let Some(watch) = watch else { return Pin::new(body).poll_frame(cx) };
        if rest.is_empty() {
            let frame = match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => *rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(watch.give(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_piece_is_unread_until_it_is_dropped() {
        let readers = Arc::new(Readers::default());
        let text = "x".repeat(2 * PIECE + 1);
        let mut body = Watched::by(readers.clone(), ResponseBody::text(text.clone()));
        assert_eq!((readers.oldest(), body.size_hint().exact()), (None, Some(text.len() as u64)));
        let mut pieces = vec![];
        for left in [PIECE + 1, 1, 0] {
            assert!(!body.is_end_stream());
            pieces.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
            assert_eq!(body.size_hint().exact(), Some(left as u64));
        }
        assert!(body.is_end_stream());
        assert_eq!(pieces.concat(), text.as_bytes());
        // Hyper drops the body before all of it is written.
        drop(body);
        let mut before = readers.oldest().unwrap();
        while pieces.len() > 1 {
            pieces.pop();
            let after = readers.oldest().unwrap();
            assert!(after > before, "it has read some more");
            before = after;
        }
        let begun = Instant::now();
        readers.stalled(Duration::from_millis(20)).await;
        assert!(begun.duration_since(before) + begun.elapsed() >= Duration::from_millis(20));
        // One that is sent in part is the same one.
        let rest = pieces[0].slice(1..);
        pieces.clear();
        assert_eq!(readers.oldest(), Some(before));
        drop(rest);
        assert!(readers.oldest().is_none() && readers.lock().is_empty());
    }

    #[tokio::test]
    async fn what_is_not_watched_is_passed_on_as_it_is() {
        let text = "x".repeat(2 * PIECE);
        let mut body = Watched::not(ResponseBody::text(text.clone()));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), text.len());
        assert!(body.is_end_stream());
    }
}
