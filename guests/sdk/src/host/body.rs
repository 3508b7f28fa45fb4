//! Bodies on WASI 0.3: a stream of bytes, and a future of the trailers that ends it.

use crate::body::Headers;
use crate::{Error, Result};
use wasip3::http::types::{ErrorCode, Fields, Trailers};
use wasip3::wit_bindgen::rt::async_support::{
    FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter,
};
use wasip3::{wit_future, wit_stream};

/// Bytes that one read takes at most.
const CHUNK: usize = 64 * 1024;

type TrailersResult = std::result::Result<Option<Trailers>, ErrorCode>;

/// A body that comes in.
pub(crate) struct Incoming {
    stream: StreamReader<u8>,
    end: End,
    /// Written by its drop: the host hears that no more is wanted of the body.
    _done: FutureWriter<std::result::Result<(), ErrorCode>>,
}

/// How the body ended, where it has.
enum End {
    Waiting(FutureReader<TrailersResult>),
    Reached(Headers),
}

impl Incoming {
    /// `consume` is `consume_body` of a request or of a response.
    pub(super) fn new(
        consume: impl FnOnce(
            FutureReader<std::result::Result<(), ErrorCode>>,
        ) -> (StreamReader<u8>, FutureReader<TrailersResult>),
    ) -> Self {
        let (done, done_reader) = wit_future::new(|| Ok(()));
        let (stream, trailers) = consume(done_reader);
        Self { stream, end: End::Waiting(trailers), _done: done }
    }

    pub(crate) async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        while matches!(self.end, End::Waiting(_)) {
            let (status, data) = self.stream.read(Vec::with_capacity(CHUNK)).await;
            if !data.is_empty() {
                return Ok(Some(data));
            }
            if status == StreamResult::Dropped {
                let end = std::mem::replace(&mut self.end, End::Reached(Vec::new()));
                if let End::Waiting(trailers) = end {
                    // The stream ends in the same way when the other side broke off.
                    let trailers = trailers.await.map_err(code)?;
                    self.end = End::Reached(trailers.map(|t| t.copy_all()).unwrap_or_default());
                }
            }
        }
        Ok(None)
    }

    /// What came after the last chunk.
    pub(crate) fn trailers(self) -> Result<Headers> {
        match self.end {
            End::Waiting(_) => Err(Error::new("the body was not read to its end")),
            End::Reached(trailers) => Ok(trailers),
        }
    }
}

/// A body that goes out.
pub(crate) struct Outgoing {
    stream: StreamWriter<u8>,
    trailers: FutureWriter<TrailersResult>,
}

impl Outgoing {
    /// With the ends that a request or a response is made of.
    pub(super) fn new() -> (Self, StreamReader<u8>, FutureReader<TrailersResult>) {
        let (stream, stream_reader) = wit_stream::new();
        // The default is written where the task that writes the body is cancelled.
        let (trailers, trailers_reader) =
            wit_future::new(|| Err(ErrorCode::InternalError(Some("the guest gave the body up".to_owned()))));
        (Self { stream, trailers }, stream_reader, trailers_reader)
    }

    pub(crate) async fn write(&mut self, data: Vec<u8>) -> Result<()> {
        if self.stream.write_all(data).await.is_empty() {
            Ok(())
        } else {
            Err(Error::new("the reader of the body is gone"))
        }
    }

    /// Writes the trailers in any case: left unwritten, they would keep handles of the store.
    pub(crate) async fn finish(self, trailers: Headers) {
        drop(self.stream);
        let fields = match trailers.is_empty() {
            true => Ok(None),
            false => Fields::from_list(&trailers)
                .map(Some)
                .map_err(|e| ErrorCode::InternalError(Some(format!("can't set the trailers: {e:?}")))),
        };
        // Fails only where the reader is gone, and then nobody wants them.
        let _ = self.trailers.write(fields).await;
    }

    pub(crate) async fn fail(self, reason: Error) {
        // The trailers first: once the stream ends, a host may take the body for complete.
        let broken = Err(ErrorCode::InternalError(Some(reason.to_string())));
        let _ = self.trailers.write(broken).await;
        drop(self.stream);
    }
}

/// An error code as a reason.
pub(super) fn code(code: ErrorCode) -> Error {
    Error::new(format_args!("{code:?}"))
}
