//! One stream socket between the master and a child, as typed frames in both directions.
//!
//! ```text
//!  Sender --\                                       one task            the other side
//!  Sender ----> queue (bytes, bounded) ----> Writer::run ===socket===> Reader::next
//! ```
//!
//! Sending never waits: a frame is queued or refused. The writer writes what is queued with as few calls as
//! others on this CPU can bear, so the busier a link is, the fewer system calls a frame costs; the
//! reader decodes many frames per read. FIFO. This knows neither what the frames mean nor what to
//! do about a full queue or a broken peer: the roles do.

use std::{io, marker::PhantomData, os::fd::OwnedFd, sync::Arc};

use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

pub use super::queue::{CONTROL_RESERVE, SendError};
use super::{
    codec::{self, DecodeError, MAX_FRAME},
    queue::{IDLE, Limit, Queue, pieces::copy_or_share},
};
use crate::sys::{nonblocking, priority::worked, stream};

/// How much is read or written at once, in bytes: what the kernel copies in one call nobody can interrupt, on most
/// servers.
const CHUNK: usize = 64 << 10;

/// With less room than this a read isn't worth it, and the buffer grows by [`CHUNK`] at least.
const MIN_READ: usize = 8 << 10;

/// The most room that is made for a frame on its word alone.
const MAX_RESERVE: usize = 1 << 20;

/// What a frame costs beside its bytes: as much as copying so many.
pub const FRAME: usize = 1 << 10;

/// The bounds of a link.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The most bytes that [`Sender::try_send`] queues, what is being written included.
    pub queue: usize,
    /// The longest frame that the reader takes, at most [`MAX_FRAME`].
    pub max_frame: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue: 16 << 20, max_frame: MAX_FRAME }
    }
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The system's own.
    #[error("can't read from the link")]
    Io(#[source] io::Error),
    /// The peer sent what is not a frame.
    #[error("no frame")]
    Frame(#[from] DecodeError),
    /// The peer went away within a frame.
    #[error("the link ended in the middle of a frame")]
    Cut,
    /// The peer sent fds, which no frame has.
    #[error("a file descriptor that nobody asked for")]
    Fds,
}

/// A new pair: our end, and the one to give to a child, which takes it with [`from_fd`].
///
/// # Errors
/// The system's own. To be called in a Tokio runtime.
pub fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    Ok((from_fd(ours.into())?, theirs.into()))
}

/// The end that a parent gave.
///
/// # Errors
/// The system's own. To be called in a Tokio runtime.
pub fn from_fd(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    nonblocking::set(&stream)?;
    UnixStream::from_std(stream)
}

/// Makes a link of a stream: what comes in are `R`s, what goes out are `S`s, once somebody runs the
/// writer.
#[must_use]
pub fn split<R, S>(stream: UnixStream, options: Options) -> (Reader<R>, Sender<S>, Writer) {
    let (read, write) = stream.into_split();
    let queue = Arc::new(Queue::new(options.queue));
    let reader = Reader {
        half: read,
        buf: BytesMut::new(),
        max_frame: options.max_frame.min(MAX_FRAME),
        frames: PhantomData,
    };
    let sender = Sender { open: Arc::new(Open(Arc::clone(&queue))), frames: PhantomData };
    (reader, sender, Writer { half: write, queue })
}

/// The incoming half.
#[derive(Debug)]
pub struct Reader<T> {
    half: OwnedReadHalf,
    buf: BytesMut,
    max_frame: usize,
    frames: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Reader<T> {
    /// Waits for the next frame and its data. None when the peer has closed its end or is dead, and
    /// all that it sent has been read. Dropping the future loses nothing.
    ///
    /// The data is a slice of the read buffer: who keeps it for long keeps up to 64 KiB more in
    /// memory, and should copy it.
    ///
    /// # Errors
    /// The peer broke the protocol, or went away within a frame. Nothing more can be read then.
    pub async fn next(&mut self) -> Result<Option<(T, Bytes)>, LinkError> {
        loop {
            if let Some(frame) = codec::decode(&mut self.buf, self.max_frame)? {
                worked(FRAME);
                return Ok(Some(frame));
            }
            match self.read().await {
                Ok(got) if got.fds => return Err(LinkError::Fds),
                Ok(got) if got.bytes == 0 => return self.end(),
                Ok(_) => {}
                // It ended before it read all of ours. The kernel says so after the last byte.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return self.end(),
                Err(error) => return Err(LinkError::Io(error)),
            }
        }
    }

    /// Waits until something comes, without a buffer when that takes long.
    async fn read(&mut self) -> io::Result<stream::Got> {
        let half = self.half.as_ref();
        if self.buf.is_empty() && timeout(IDLE, half.readable()).await.is_err() {
            self.buf = BytesMut::new();
            half.readable().await?;
        }
        let buf = &mut self.buf;
        if buf.capacity() - buf.len() < MIN_READ {
            // A long frame is not moved each time that it grows. Its length has been checked.
            let missing = codec::length(buf).map_or(0, |length| length.saturating_sub(buf.len()));
            buf.reserve(missing.clamp(CHUNK, MAX_RESERVE));
        }
        // Never more at once, however much room a long frame has left: others want their turn.
        let got = half.async_io(Interest::READABLE, || stream::read(half, buf, CHUNK)).await;
        worked(got.as_ref().map_or(0, |got| got.bytes));
        got
    }

    fn end(&self) -> Result<Option<(T, Bytes)>, LinkError> {
        if self.buf.is_empty() { Ok(None) } else { Err(LinkError::Cut) }
    }
}

/// The outgoing half's entrance. Clones are cheap and share one queue; when the last one is dropped
/// the link closes.
#[derive(Debug)]
pub struct Sender<T> {
    open: Arc<Open>,
    frames: PhantomData<fn(&T)>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open), frames: PhantomData }
    }
}

impl<T: Serialize> Sender<T> {
    /// Queues a frame, unless more than [`Options::queue`] bytes would be queued then.
    ///
    /// # Errors
    /// It was not queued, and why.
    pub fn try_send(&self, frame: &T, data: &[u8]) -> Result<(), SendError> {
        worked(FRAME);
        self.open.0.push(frame, data, Bytes::new(), Limit::Messages)
    }

    /// As [`Self::try_send`], for data that others may have too: where it is long it is not copied.
    ///
    /// # Errors
    /// It was not queued, and why.
    pub fn try_share(&self, frame: &T, data: &Bytes) -> Result<(), SendError> {
        worked(FRAME);
        let (copied, shared) = copy_or_share(data);
        self.open.0.push(frame, copied, shared, Limit::Messages)
    }

    /// As [`Self::try_send`], for frames that must not be lost to a flood of messages: may use
    /// [`CONTROL_RESERVE`] more bytes.
    ///
    /// # Errors
    /// It was not queued, and why. `Full` means that the peer is stuck.
    pub fn send_control(&self, frame: &T, data: &[u8]) -> Result<(), SendError> {
        self.open.0.push(frame, data, Bytes::new(), Limit::Control)
    }
}

impl<T> Sender<T> {
    /// Waits until all that is queued now has been given to the kernel. The caller bounds the wait.
    ///
    /// # Errors
    /// `Closed`: the writer ended before that.
    pub async fn flushed(&self) -> Result<(), SendError> {
        self.open.0.flushed().await
    }

    /// Sets [`Options::queue`] anew: a child learns its app's limits over the link itself.
    pub fn set_queue(&self, bytes: usize) {
        self.open.0.set_limit(bytes);
    }

    /// Takes nothing more. The writer writes what is queued, and then the peer sees the end.
    pub fn close(&self) {
        self.open.0.close();
    }

    /// Bytes that are queued or being written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.open.0.pending()
    }
}

/// The outgoing half's exit. Dropping it closes the link at once.
#[derive(Debug)]
pub struct Writer {
    half: OwnedWriteHalf,
    queue: Arc<Queue>,
}

impl Writer {
    /// Writes what is queued, until the link is closed and all of it is written; then the peer sees
    /// the end.
    ///
    /// # Errors
    /// The peer is gone (`BrokenPipe`), or the system's own. What was queued is lost.
    pub async fn run(mut self) -> io::Result<()> {
        while let Some(piece) = self.queue.take().await {
            for chunk in piece.as_ref().chunks(CHUNK) {
                self.half.write_all(chunk).await?;
                worked(chunk.len());
            }
            self.queue.wrote(piece);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.end();
    }
}

/// What all senders own together; the last one's end closes the link.
#[derive(Debug)]
struct Open(Arc<Queue>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests;
