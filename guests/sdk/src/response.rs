//! The HTTP response that `handle` returns. `host/` sends it.

use crate::body::{BodyWriter, Headers};
use crate::{Error, Result};
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;

type Streaming = Box<dyn FnOnce(BodyWriter) -> Pin<Box<dyn Future<Output = ()>>>>;

/// What there is to send.
pub(crate) enum Content {
    /// No body at all.
    Empty,
    /// A body that is there already.
    Full(Vec<u8>),
    /// A body that is written after the response was returned.
    Stream(Streaming),
    /// Not even a response.
    Missing,
}

/// One response: 200 unless [`status`](Self::status) says otherwise.
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) content: Content,
}

impl Response {
    fn with(content_type: Option<&str>, content: Content) -> Self {
        let headers = content_type.map(|value| ("content-type".to_owned(), value.into()));
        Self { status: 200, headers: headers.into_iter().collect(), content }
    }

    /// Only a status.
    pub fn empty(status: u16) -> Self {
        Self::with(None, Content::Empty).status(status)
    }

    /// `text/plain`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::with(Some("text/plain; charset=utf-8"), Content::Full(text.into().into_bytes()))
    }

    /// `application/json`. A `Result`, so that a handler can end with it.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        let data = serde_json::to_vec(value)
            .map_err(|e| Error::from(e).context("can't write the answer as json"))?;
        Ok(Self::with(Some("application/json"), Content::Full(data)))
    }

    /// Bytes; give them a `content-type` with [`header`](Self::header).
    pub fn bytes(data: impl Into<Vec<u8>>) -> Self {
        Self::with(None, Content::Full(data.into()))
    }

    /// A body that is written while the client reads it. `write` runs after the handler has returned;
    /// when it fails, the client sees the body broken off.
    ///
    /// ```ignore
    /// Response::stream(async |body| {
    ///     for line in 0..1000 {
    ///         body.write(format!("{line}\n")).await?;
    ///     }
    ///     Ok(())
    /// })
    /// ```
    pub fn stream(write: impl AsyncFnOnce(&mut BodyWriter) -> Result<()> + 'static) -> Self {
        let run: Streaming = Box::new(|mut body| {
            Box::pin(async move {
                let result = write(&mut body).await;
                body.finish(result).await;
            })
        });
        Self::with(None, Content::Stream(run))
    }

    /// Nothing at all, as a broken guest does it. For testing hosts.
    #[doc(hidden)]
    pub fn missing() -> Self {
        Self::with(None, Content::Missing)
    }

    /// With this status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With this header, in place of one of that name.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let name = name.into();
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
        self
    }

    /// What a handler's error becomes. The reason goes to the log and not to the client.
    pub(crate) fn of(result: Result<Self>) -> Self {
        result.unwrap_or_else(|reason| {
            eprintln!("request failed: {reason}");
            Self::text("internal server error\n").status(500)
        })
    }
}
