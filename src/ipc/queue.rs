//! The bytes that wait for a link's writer: bounded, shared by all its senders.
//!
//! They lie in pieces, so that a long queue is neither moved as it grows nor in one buffer, and what goes to many
//! is there once. Only [`super::link`] uses it. It does no I/O. The lock is held for as long as a frame takes to be
//! encoded, and never across an await.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use super::codec::{self, MAX_FRAME};

/// Room for control frames past what messages may fill, in bytes. A peer that lets so much pile up
/// is stuck.
pub const CONTROL_RESERVE: usize = 16 << 20;

/// A link that has had nothing to do for so long gives back its buffers.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// A piece takes more frames up to this length, in bytes.
const PIECE: usize = 64 << 10;

/// Shared data of at least so many bytes is not copied: its own piece. Less would keep too much in memory that is
/// no longer needed, as it lies in a buffer of [`super::link`]'s reader.
const LONG: usize = PIECE;

/// A buffer larger than this is given back at once, without waiting for [`IDLE`].
const KEEP: usize = 2 * PIECE;

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

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data<'a> {
    /// To be copied.
    Borrowed(&'a [u8]),
    /// Copied where that is less work.
    Shared(&'a Bytes),
}

/// What is written next.
#[derive(Debug)]
pub(super) enum Piece {
    /// Frames, or the beginning of one. The buffer can be used again.
    Frames(BytesMut),
    /// The data of the frame before it.
    Data(Bytes),
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
    /// None is empty.
    pieces: VecDeque<Piece>,
    /// Their bytes.
    queued: usize,
    /// How many are in the writer's hands.
    writing: usize,
    /// A buffer that is not in use.
    spare: BytesMut,
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
    pub(super) fn push<T: Serialize>(
        &self,
        frame: &T,
        data: Data<'_>,
        limit: Limit,
    ) -> Result<(), SendError> {
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
        let was_empty = state.queued == 0;
        state.append(frame, data, limit)?;
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for what is to be written next. None: the link is closed, and nothing is left.
    pub(super) async fn take(&self) -> Option<Piece> {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            if timeout(IDLE, self.filled.notified()).await.is_err() {
                self.lock().spare = BytesMut::new();
                self.filled.notified().await;
            }
        }
    }

    /// None: nothing yet.
    fn try_take(&self) -> Option<Option<Piece>> {
        let mut state = self.lock();
        let Some(piece) = state.pieces.pop_front() else {
            return (state.phase != Phase::Open).then_some(None);
        };
        state.writing = piece.len();
        state.queued -= piece.len();
        Some(Some(piece))
    }

    /// This piece is written.
    pub(super) fn wrote(&self, piece: Piece) {
        let mut state = self.lock();
        state.writing = 0;
        state.written_total += piece.len() as u64;
        if let Piece::Frames(mut buffer) = piece
            && buffer.capacity() <= KEEP
        {
            buffer.clear();
            state.spare = buffer;
        }
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
        (state.pieces, state.queued, state.writing) = (VecDeque::new(), 0, 0);
        state.spare = BytesMut::new();
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
        self.queued + self.writing
    }

    /// Appends a frame, or leaves all as it was.
    fn append<T: Serialize>(&mut self, frame: &T, data: Data<'_>, limit: usize) -> Result<(), SendError> {
        let (copied, shared) = match data {
            Data::Shared(data) if data.len() >= LONG => (&[][..], data.clone()),
            Data::Shared(data) => (&data[..], Bytes::new()),
            Data::Borrowed(data) => (data, Bytes::new()),
        };
        let pending = self.pending();
        let mut buffer = self.buffer_for(copied.len());
        let before = buffer.len();
        let encoded = codec::encode_head(&mut buffer, frame, copied.len() + shared.len());
        let done = encoded.map_err(|_| SendError::TooLong).and_then(|()| {
            let length = buffer.len() - before + copied.len() + shared.len();
            if pending + length > limit { Err(SendError::Full) } else { Ok(length) }
        });
        match done {
            Ok(_) => buffer.put_slice(copied),
            Err(_) => buffer.truncate(before),
        }
        if buffer.is_empty() {
            self.spare = buffer;
        } else {
            self.pieces.push_back(Piece::Frames(buffer));
        }
        let length = done?;
        if !shared.is_empty() {
            self.pieces.push_back(Piece::Data(shared));
        }
        self.queued += length;
        self.queued_total += length as u64;
        Ok(())
    }

    /// The last piece, where so much more makes it not too long; else an empty buffer.
    fn buffer_for(&mut self, more: usize) -> BytesMut {
        match self.pieces.pop_back() {
            Some(Piece::Frames(last)) if last.len() + more <= PIECE => last,
            other => {
                self.pieces.extend(other);
                std::mem::take(&mut self.spare)
            }
        }
    }
}

impl Piece {
    fn len(&self) -> usize {
        self.as_ref().len()
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Frames(buffer) => buffer,
            Self::Data(data) => data,
        }
    }
}

impl Data<'_> {
    fn len(self) -> usize {
        match self {
            Self::Borrowed(data) => data.len(),
            Self::Shared(data) => data.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a frame of one byte of envelope and as much data as makes this length.
    fn push(queue: &Queue, length: usize, limit: Limit) -> Result<(), SendError> {
        queue.push(&0_u64, Data::Borrowed(&vec![0; length - codec::HEADER - 1]), limit)
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
        let queue = Queue::new(100);
        push(&queue, 60, Limit::Messages).unwrap();
        let piece = take(&queue);
        assert_eq!((piece.len(), queue.pending()), (60, 60));
        assert_eq!(push(&queue, 60, Limit::Messages), Err(SendError::Full));
        push(&queue, 40, Limit::Messages).unwrap();
        queue.wrote(piece);
        assert_eq!(queue.pending(), 40);
        push(&queue, 60, Limit::Messages).unwrap();
    }

    #[test]
    fn closed_it_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new(100);
        assert!(queue.try_take().is_none());
        push(&queue, 60, Limit::Messages).unwrap();
        queue.close();
        assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Closed));
        queue.wrote(take(&queue));
        assert!(queue.try_take().unwrap().is_none());
        queue.end();
        assert_eq!(push(&queue, 9, Limit::Control), Err(SendError::Closed));
    }

    fn take(queue: &Queue) -> Piece {
        queue.try_take().expect("something").expect("a piece")
    }

    /// Frames of these lengths, as pieces.
    #[test]
    fn pieces_as_a_table() {
        let long = LONG + codec::HEADER + 1;
        for (frames, shared, pieces) in [
            (&[100, 200, 300][..], false, &[600][..]),
            (&[PIECE, 100, PIECE, 100], false, &[PIECE, 100, PIECE, 100]),
            (&[PIECE / 2, PIECE / 2, PIECE / 2], true, &[PIECE, PIECE / 2]),
            (&[100, long, long], false, &[100, long, long]),
            (&[100, long, 100, long], true, &[109, LONG, 109, LONG]),
        ] {
            let queue = Queue::new(1 << 20);
            let mut sent = BytesMut::new();
            for (number, &length) in (0u8..).zip(frames) {
                let data = Bytes::from(vec![number; length - codec::HEADER - 1]);
                codec::encode(&mut sent, &number, &data).unwrap();
                let data = if shared { Data::Shared(&data) } else { Data::Borrowed(&data) };
                queue.push(&number, data, Limit::Messages).unwrap();
            }
            let mut written = vec![];
            for &length in pieces {
                let piece = take(&queue);
                assert_eq!(piece.len(), length, "{frames:?} {shared}");
                written.extend_from_slice(piece.as_ref());
                queue.wrote(piece);
            }
            assert!(queue.try_take().is_none() && queue.pending() == 0);
            assert!(written == sent, "{frames:?} {shared}");
        }
    }

    #[test]
    fn what_is_refused_leaves_nothing() {
        let queue = Queue::new(2 * LONG);
        push(&queue, 100, Limit::Messages).unwrap();
        let data = Bytes::from(vec![0; 2 * LONG - 120]);
        // Its envelope makes it too long, which is known late: with something before it, and alone.
        for envelope in [100, 200] {
            let envelope = "x".repeat(envelope);
            for data in [Data::Shared(&data), Data::Borrowed(&data)] {
                assert_eq!(queue.push(&envelope, data, Limit::Messages), Err(SendError::Full));
            }
            if let Some(piece) = queue.try_take() {
                let piece = piece.unwrap();
                assert_eq!(piece.len(), 100);
                queue.wrote(piece);
            }
            assert!(queue.try_take().is_none() && queue.pending() == 0);
        }
    }
}
