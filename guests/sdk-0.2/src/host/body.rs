//! Bodies on WASI 0.2: blocking streams that belong to a body, which ends in trailers.

use crate::body::Headers;
use crate::{Error, Result};
use wasip2::http::types::{Fields, FutureTrailers, IncomingBody, OutgoingBody};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// Bytes that one read takes at most.
const CHUNK: u64 = 64 * 1024;
/// What `blocking-write-and-flush` takes at most.
const WRITE: usize = 4096;

/// A body that comes in.
pub(crate) struct Incoming {
    /// `None` at the end. Before the body, so that it is dropped before it.
    stream: Option<InputStream>,
    body: IncomingBody,
}

impl Incoming {
    pub(super) fn new(body: IncomingBody) -> Result<Self> {
        let stream = body.stream().map_err(|()| Error::new("the body was already taken"))?;
        Ok(Self { stream: Some(stream), body })
    }

    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        while let Some(stream) = &self.stream {
            match stream.blocking_read(CHUNK) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(StreamError::Closed) => self.stream = None,
                Err(StreamError::LastOperationFailed(e)) => {
                    return Err(Error::new(e.to_debug_string()));
                }
            }
        }
        Ok(None)
    }

    /// What came after the last chunk.
    pub(crate) fn trailers(self) -> Result<Headers> {
        if self.stream.is_some() {
            return Err(Error::new("the body was not read to its end"));
        }
        let trailers: FutureTrailers = IncomingBody::finish(self.body);
        trailers.subscribe().block();
        match trailers.get() {
            Some(Ok(Ok(fields))) => Ok(fields.map(|f| f.entries()).unwrap_or_default()),
            Some(Ok(Err(code))) => Err(Error::new(format_args!("{code:?}"))),
            Some(Err(())) | None => Err(Error::new("the trailers were not there")),
        }
    }
}

/// A body that goes out.
pub(crate) struct Outgoing {
    /// Before the body, so that it is dropped before it.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Outgoing {
    pub(super) fn new(body: OutgoingBody) -> Result<Self> {
        let stream = body.write().map_err(|()| Error::new("the body was already taken"))?;
        Ok(Self { stream, body })
    }

    pub(crate) async fn write(&mut self, data: Vec<u8>) -> Result<()> {
        for part in data.chunks(WRITE) {
            self.stream.blocking_write_and_flush(part).map_err(|e| match e {
                StreamError::Closed => Error::new("the reader of the body is gone"),
                StreamError::LastOperationFailed(e) => Error::new(e.to_debug_string()),
            })?;
        }
        Ok(())
    }

    pub(crate) async fn finish(self, trailers: Headers) {
        drop(self.stream);
        let fields = match trailers.is_empty() {
            true => None,
            false => match Fields::from_list(&trailers) {
                Ok(fields) => Some(fields),
                // Unfinished, the body is broken off: the client must not take it for complete.
                Err(e) => return eprintln!("can't set the trailers: {e:?}"),
            },
        };
        // Fails only where the reader is gone.
        let _ = OutgoingBody::finish(self.body, fields);
    }

    /// Dropped unfinished, the body is broken off.
    pub(crate) async fn fail(self, _reason: Error) {}
}
