//! How the bytes of a queue lie: in pieces, so that a long queue is neither moved as it grows nor in one buffer, and
//! what goes to many is there once.
//!
//! [`super::Queue`] owns one under its lock, and knows the limits. This counts nothing.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;

use super::{SendError, codec};
use crate::sys::priority::worked;

/// A piece takes more up to this length, in bytes. The head of a frame is in one piece, whatever its length.
const PIECE: usize = 64 << 10;

/// Data of at least so many bytes is its own piece where it is shared. Less would keep too much in memory that is no
/// longer needed, as it lies in a buffer of [`super::super::link`]'s reader.
const LONG: usize = PIECE;

/// A buffer larger than this is given back at once, without waiting for [`super::IDLE`].
const KEEP: usize = 2 * PIECE;

/// What is written next.
#[derive(Debug)]
pub(in super::super) enum Piece {
    /// Frames, or parts of them. The buffer can be used again.
    Frames(BytesMut),
    /// The end of the frame before it.
    Data(Bytes),
}

/// See the top.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// None is empty.
    queued: VecDeque<Piece>,
    /// A buffer that is not in use.
    spare: BytesMut,
}

/// What is less work for data that others may have too: to copy it, or to share it.
pub(in super::super) fn copy_or_share(data: &Bytes) -> (&[u8], Bytes) {
    if data.len() < LONG { (data, Bytes::new()) } else { (&[], data.clone()) }
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Appends a frame of at most `room` bytes and says its length, or leaves all as it was. See [`super::Queue::push`].
    pub(super) fn push<T: Serialize>(
        &mut self,
        frame: &T,
        data: &[u8],
        shared: Bytes,
        room: usize,
    ) -> Result<usize, SendError> {
        let mut buffer = self.last();
        let before = buffer.len();
        let encoded = codec::encode_head(&mut buffer, frame, data.len() + shared.len());
        let done = encoded.map_err(|_| SendError::TooLong).and_then(|()| {
            let length = buffer.len() - before + data.len() + shared.len();
            if length > room { Err(SendError::Full) } else { Ok(length) }
        });
        if done.is_err() {
            buffer.truncate(before);
        }
        self.put_back(buffer);
        if done.is_ok() {
            self.copy(data);
            if !shared.is_empty() {
                self.queued.push_back(Piece::Data(shared));
            }
        }
        done
    }

    /// Appends the data of the last frame.
    fn copy(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let mut buffer = self.last();
            let chunk;
            (chunk, data) = data.split_at(data.len().min(PIECE - buffer.len()));
            buffer.put_slice(chunk);
            worked(chunk.len());
            self.put_back(buffer);
        }
    }

    /// The first.
    pub(super) fn pop(&mut self) -> Option<Piece> {
        self.queued.pop_front()
    }

    /// Takes back the buffer of what was popped.
    pub(super) fn reuse(&mut self, piece: Piece) {
        if let Piece::Frames(mut buffer) = piece
            && buffer.capacity() <= KEEP
        {
            buffer.clear();
            self.spare = buffer;
        }
    }

    /// Gives back what is not in use.
    pub(super) fn shrink(&mut self) {
        self.spare = BytesMut::new();
    }

    /// The last piece where it takes more, or an empty buffer.
    fn last(&mut self) -> BytesMut {
        match self.queued.pop_back() {
            Some(Piece::Frames(last)) if last.len() < PIECE => last,
            other => {
                self.queued.extend(other);
                std::mem::take(&mut self.spare)
            }
        }
    }

    fn put_back(&mut self, buffer: BytesMut) {
        if buffer.is_empty() {
            self.spare = buffer;
        } else {
            self.queued.push_back(Piece::Frames(buffer));
        }
    }
}

impl Piece {
    pub(super) fn len(&self) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of these lengths, as pieces.
    #[test]
    fn pieces_as_a_table() {
        let long = LONG + codec::HEADER + 1;
        for (frames, may_share, expected) in [
            (&[100, 200, 300][..], false, &[600][..]),
            (&[PIECE, 100, PIECE, 100], false, &[PIECE, PIECE, 200]),
            (&[PIECE / 2, PIECE / 2, PIECE / 2], true, &[PIECE, PIECE / 2]),
            (&[PIECE - 5, 100], false, &[PIECE + 4, 91]),
            (&[100, 4 * long], false, &[PIECE, PIECE, PIECE, PIECE, 136]),
            (&[100, long, 100, long], true, &[109, LONG, 109, LONG]),
        ] {
            let mut pieces = Pieces::default();
            let mut sent = BytesMut::new();
            for (number, &length) in (0u8..).zip(frames) {
                let data = Bytes::from(vec![number; length - codec::HEADER - 1]);
                codec::encode(&mut sent, &number, &data).unwrap();
                let (copied, shared) =
                    if may_share { copy_or_share(&data) } else { (&data[..], Bytes::new()) };
                assert_eq!(pieces.push(&number, copied, shared, length), Ok(length));
            }
            let mut written = vec![];
            for &length in expected {
                let piece = pieces.pop().unwrap();
                assert_eq!(piece.len(), length, "{frames:?} {may_share}");
                written.extend_from_slice(piece.as_ref());
                pieces.reuse(piece);
            }
            assert!(pieces.is_empty());
            assert!(written == sent, "{frames:?} {may_share}");
        }
    }

    #[test]
    fn what_is_refused_leaves_nothing() {
        let mut pieces = Pieces::default();
        let room = 2 * LONG;
        let data = Bytes::from(vec![0; room - 20]);
        assert_eq!(pieces.push(&0_u8, &[0; 91], Bytes::new(), room), Ok(100));
        // Its envelope makes it too long, which is known late: with something before it, and alone.
        for before in [100, 0] {
            let envelope = "x".repeat(100);
            for (copied, shared) in [(&[][..], data.clone()), (&data[..], Bytes::new())] {
                assert_eq!(pieces.push(&envelope, copied, shared, room), Err(SendError::Full));
            }
            assert_eq!(pieces.pop().map_or(0, |piece| piece.len()), before);
            assert!(pieces.is_empty());
        }
    }
}
