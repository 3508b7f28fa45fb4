//! Bodies: [`Body`] is read (of a request, or of what `fetch` got), [`BodyWriter`] is written to (a
//! streamed response). Neither holds more than a chunk.

use crate::{Error, Result, host};
use serde::de::DeserializeOwned;

/// Names and values as they came. Names may repeat, values need not be UTF-8.
pub type Headers = Vec<(String, Vec<u8>)>;

/// A body that comes in. Dropped, the rest of it is not read.
pub struct Body(host::Incoming);

impl Body {
    pub(crate) fn new(incoming: host::Incoming) -> Self {
        Self(incoming)
    }

    /// The next bytes, at most 64 KiB, or `None` at the end. Fails when the other side broke off.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        self.0.chunk().await
    }

    /// What came after the body. Reads, and drops, what is left of it.
    pub async fn trailers(mut self) -> Result<Headers> {
        while self.chunk().await?.is_some() {}
        self.0.trailers()
    }

    /// All of it. The host's limit of the body size is the bound.
    pub async fn bytes(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.is_empty() {
                all = chunk;
            } else {
                all.extend_from_slice(&chunk);
            }
        }
        Ok(all)
    }

    /// All of it as UTF-8.
    pub async fn text(self) -> Result<String> {
        Ok(String::from_utf8(self.bytes().await?)?)
    }

    /// All of it as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::from(e).context("the body is not the json expected"))
    }
}

/// Where a streamed response's body goes; see [`Response::stream`](crate::Response::stream).
pub struct BodyWriter {
    outgoing: host::Outgoing,
    trailers: Headers,
}

impl BodyWriter {
    pub(crate) fn new(outgoing: host::Outgoing) -> Self {
        Self { outgoing, trailers: Vec::new() }
    }

    /// Writes all of it, as fast as the client reads. Fails when the client is gone.
    pub async fn write(&mut self, data: impl Into<Vec<u8>>) -> Result<()> {
        self.outgoing.write(data.into()).await
    }

    /// Adds a trailer, sent when the body is complete.
    pub fn trailer(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.trailers.push((name.into(), value.into()));
    }

    /// Ends the body: complete with its trailers, or broken off for the reason given.
    pub(crate) async fn finish(self, result: Result<()>) {
        match result {
            Ok(()) => self.outgoing.finish(self.trailers).await,
            Err(reason) => {
                eprintln!("response body broken off: {reason}");
                self.outgoing.fail(reason).await;
            }
        }
    }
}
