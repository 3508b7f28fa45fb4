//! The bytes that wait for a link's writer: bounded, shared by all its senders.
//!
//! Only [`super::link`] uses it. It does no I/O. The lock is held for as long as a frame takes to be
//! encoded, and never across an await.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::BytesMut;
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use super::codec::{self, MAX_FRAME};

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

/// What the writer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Write the batch.
    Batch,
    /// End: closed, and nothing is left.
    End,
}

/// See the top.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    limit: AtomicUsize,
    /// The queue is no longer empty, or was closed.
    filled: Notify,
    /// A batch was written, or the writer ended.
    written: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    /// How many are in the writer's hands.
    writing: usize,
    phase: Phase,
    /// Bytes since the beginning.
    queued_total: u64,
    written_total: u64,
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

    /// Appends a frame, or leaves all as it was.
    pub(super) fn push<T: Serialize>(&self, frame: &T, data: &[u8], limit: Limit) -> Result<(), SendError> {
        let limit = match limit {
            Limit::Messages => self.limit.load(Relaxed),
            Limit::Control => self.limit.load(Relaxed).saturating_add(CONTROL_RESERVE),
        };
        if data.len() > MAX_FRAME {
            return Err(SendError::TooLong);
        }
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(SendError::Closed);
        }
        // Refused here it costs the least, and the buffer doesn't grow for nothing.
        if state.pending() + codec::HEADER + data.len() > limit {
            return Err(SendError::Full);
        }
        let before = state.bytes.len();
        codec::encode(&mut state.bytes, frame, data).map_err(|_| SendError::TooLong)?;
        if state.pending() > limit {
            state.bytes.truncate(before);
            return Err(SendError::Full);
        }
        state.queued_total += (state.bytes.len() - before) as u64;
        drop(state);
        if before == 0 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for something, and swaps all of it with the writer's empty batch. While there is nothing for long, neither
    /// has any memory.
    pub(super) async fn take(&self, batch: &mut BytesMut) -> Taken {
        loop {
            if let Some(taken) = self.try_take(batch) {
                return taken;
            }
            if timeout(IDLE, self.filled.notified()).await.is_err() {
                *batch = BytesMut::new();
                self.shrink();
                self.filled.notified().await;
            }
        }
    }

    fn try_take(&self, batch: &mut BytesMut) -> Option<Taken> {
        let mut state = self.lock();
        if state.bytes.is_empty() {
            return (state.phase != Phase::Open).then_some(Taken::End);
        }
        std::mem::swap(&mut state.bytes, batch);
        state.writing = batch.len();
        Some(Taken::Batch)
    }

    /// Gives back the memory of what was queued, where nothing is.
    fn shrink(&self) {
        let mut state = self.lock();
        if state.bytes.is_empty() {
            state.bytes = BytesMut::new();
        }
    }

    /// The batch is written.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.lock();
        state.writing = 0;
        state.written_total += bytes as u64;
        drop(state);
        self.written.notify_waiters();
    }

    /// Waits until all that is queued now is written. Closed: it never will be.
    pub(super) async fn flushed(&self) -> Result<(), SendError> {
        let target = self.lock().queued_total;
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            // From here on no write goes unnoticed.
            written.as_mut().enable();
            {
                let state = self.lock();
                if state.written_total >= target {
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
        state.bytes = BytesMut::new();
        state.writing = 0;
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
        self.bytes.len() + self.writing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a frame of one byte of envelope and as much data as makes this length.
    fn push(queue: &Queue, length: usize, limit: Limit) -> Result<(), SendError> {
        queue.push(&0_u64, &vec![0; length - codec::HEADER - 1], limit)
    }

    #[test]
    fn each_kind_has_its_bound() {
        let queue = Queue::new(1000);
        for _ in 0..10 {
            push(&queue, 100, Limit::Messages).unwrap();
        }
        assert_eq!(push(&queue, 9, Limit::Messages), Err(SendError::Full));
        assert_eq!(push(&queue, 100, Limit::Messages), Err(SendError::Full));
        assert_eq!(push(&queue, MAX_FRAME + 100, Limit::Messages), Err(SendError::TooLong));
        assert_eq!(queue.pending(), 1000);
        push(&queue, CONTROL_RESERVE - 9, Limit::Control).unwrap();
        assert_eq!(push(&queue, 10, Limit::Control), Err(SendError::Full));
        push(&queue, 9, Limit::Control).unwrap();
        assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Full));
        assert_eq!(queue.pending(), 1000 + CONTROL_RESERVE);
    }

    #[test]
    fn a_frame_of_the_limits_length_fits_alone() {
        let queue = Queue::new(100);
        assert_eq!(push(&queue, 101, Limit::Messages), Err(SendError::Full));
        push(&queue, 100, Limit::Messages).unwrap();
    }

    #[test]
    fn what_is_being_written_counts() {
        let (queue, mut batch) = (Queue::new(100), BytesMut::new());
        push(&queue, 60, Limit::Messages).unwrap();
        assert_eq!(queue.try_take(&mut batch), Some(Taken::Batch));
        assert_eq!((batch.len(), queue.pending()), (60, 60));
        assert_eq!(push(&queue, 60, Limit::Messages), Err(SendError::Full));
        push(&queue, 40, Limit::Messages).unwrap();
        queue.wrote(60);
        assert_eq!(queue.pending(), 40);
        push(&queue, 60, Limit::Messages).unwrap();
    }

    #[test]
    fn closed_it_gives_what_it_has_and_takes_nothing() {
        let (queue, mut batch) = (Queue::new(100), BytesMut::new());
        assert_eq!(queue.try_take(&mut batch), None);
        push(&queue, 60, Limit::Messages).unwrap();
        queue.close();
        assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Closed));
        assert_eq!(queue.try_take(&mut batch), Some(Taken::Batch));
        batch.clear();
        assert_eq!(queue.try_take(&mut batch), Some(Taken::End));
        queue.end();
        assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Closed));
    }
}
