//! The bytes that wait for a link's writer: bounded, shared by all its senders.
//!
//! Only [`super::link`] uses it; how the bytes lie is [`pieces`]' matter. It does no I/O. The lock is held for as long
//! as a frame takes to be encoded, and never across an await.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use self::pieces::{Piece, Pieces};
use super::codec::{self, MAX_FRAME};

pub(super) mod pieces;

/// Room for control frames past what messages may fill, in bytes. A peer that lets so much pile up
/// is stuck.
pub const CONTROL_RESERVE: usize = 16 << 20;

/// A link that has had nothing to do for so long gives back its buffers.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The queue has no room for it now.
    #[error("the queue is full")]
    Full,
    /// The link was closed, or its peer is gone.
    #[error("the link is closed")]
    Closed,
    /// It is longer than any frame may be; or can't be encoded at all, which only a path that is not
    /// UTF-8 brings about.
    #[error("a frame is longer than the limit of {MAX_FRAME} bytes, or has a path that is not utf-8")]
    TooLong,
}

/// How far a frame may fill the queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// To the queue's own limit.
    Messages,
    /// [`CONTROL_RESERVE`] further.
    Control,
}

/// See the top.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    limit: AtomicUsize,
    /// The queue is no longer empty, or was closed.
    filled: Notify,
    /// A piece was written, or the writer ended.
    written: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What the writer has not taken yet.
    pieces: Pieces,
    phase: Phase,
    /// Bytes since the beginning.
    queued: u64,
    written: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// The writer finishes what is queued.
    Closed,
    /// There is no writer any more.
    Ended,
}

impl Queue {
    /// With a limit in bytes, what is being written included.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            limit: AtomicUsize::new(limit),
            filled: Notify::new(),
            written: Notify::new(),
        }
    }

    /// Another limit, from the next frame on.
    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Appends a frame whose data is `data` and then `shared`, or leaves all as it was. The first is copied.
    pub(super) fn push<T: Serialize>(
        &self,
        frame: &T,
        data: &[u8],
        shared: Bytes,
        limit: Limit,
    ) -> Result<(), SendError> {
        let limit = match limit {
            Limit::Messages => self.limit.load(Relaxed),
            Limit::Control => self.limit.load(Relaxed).saturating_add(CONTROL_RESERVE),
        };
        let length = data.len() + shared.len();
        if length > MAX_FRAME {
            return Err(SendError::TooLong);
        }
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        // Refused here it costs the least, and the buffer doesn't grow for nothing.
        let room = limit.saturating_sub(state.pending());
        if codec::HEADER + length > room {
            return Err(SendError::Full);
        }
        let was_empty = state.pieces.is_empty();
        state.queued += state.pieces.push(frame, data, shared, room)? as u64;
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for what is to be written next. None: the link is closed, and nothing is left.
    pub(super) async fn take(&self) -> Option<Piece> {
        loop {
            if let Poll::Ready(taken) = self.try_take() {
                return taken;
            }
            if timeout(IDLE, self.filled.notified()).await.is_err() {
                self.lock().pieces.shrink();
                self.filled.notified().await;
            }
        }
    }

    fn try_take(&self) -> Poll<Option<Piece>> {
        let mut state = self.lock();
        match (state.pieces.pop(), state.phase) {
            (None, Phase::Open) => Poll::Pending,
            (piece, _) => Poll::Ready(piece),
        }
    }

    /// This piece is written.
    pub(super) fn wrote(&self, piece: Piece) {
        let mut state = self.lock();
        state.written += piece.len() as u64;
        state.pieces.reuse(piece);
        drop(state);
        self.written.notify_waiters();
    }

    /// Waits until all that is queued now is written. Closed: it never will be.
    pub(super) async fn flushed(&self) -> Result<(), SendError> {
        let target = self.lock().queued;
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            // From here on no write goes unnoticed.
            written.as_mut().enable();
            {
                let state = self.lock();
                if state.written >= target {
                    return Ok(());
                }
                if state.phase == Phase::Ended {
                    return Err(SendError::Closed);
                }
            }
            written.await;
        }
    }

    /// Takes nothing more; the writer goes on to the end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closed;
        }
        drop(state);
        self.filled.notify_one();
    }

    /// There is no writer any more; what is queued is lost.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.phase = Phase::Ended;
        state.pieces = Pieces::default();
        drop(state);
        self.written.notify_waiters();
    }

    /// Bytes that are queued or being written.
    pub(super) fn pending(&self) -> usize {
        self.lock().pending()
    }

    /// Nothing of ours panics under the lock: frames derive `Serialize`.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pending(&self) -> usize {
        if self.phase == Phase::Ended {
            return 0;
        }
        usize::try_from(self.queued - self.written).expect("it is in memory")
    }
}

#[cfg(test)]
mod tests;
