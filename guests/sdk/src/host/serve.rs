//! A request through the handler, on WASI 0.3. The export macro calls this.

use super::body::{Incoming, Outgoing};
use crate::body::{BodyWriter, Headers};
use crate::response::Content;
use crate::{Request, Response, Result};
use std::future::Future;
use wasip3::http::types::{ErrorCode, Fields, Method};
use wasip3::wit_future;

/// The request that the export is given.
pub type RawRequest = wasip3::http::types::Request;
/// The response that the export returns.
pub type RawResponse = wasip3::http::types::Response;
/// What the export returns for want of a response.
pub type RawError = ErrorCode;

/// What [`Request`] is made of.
pub struct IncomingRequest(RawRequest);

impl IncomingRequest {
    pub(crate) fn method(&self) -> String {
        let name = match self.0.get_method() {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(name) => return name,
        };
        name.to_owned()
    }

    pub(crate) fn target(&self) -> String {
        self.0.get_path_with_query().unwrap_or_else(|| "/".to_owned())
    }

    pub(crate) fn headers(&self) -> Headers {
        self.0.get_headers().copy_all()
    }

    pub(crate) fn into_body(self) -> Result<Incoming> {
        Ok(Incoming::new(|done| RawRequest::consume_body(self.0, done)))
    }
}

/// Calls `handle` and sends what it returns.
///
/// A host reads the body once it has the response, so bodies are written after the return. One that
/// takes them eagerly is done with a small response in this one call. The `_sent` that comes with a
/// response is not awaited: that would cost another entry into the guest (measured: a third of the
/// requests per second), and dropping it leaves nothing behind. The trailers, though, must be written.
pub async fn serve<F: Future<Output = Result<Response>>>(
    request: RawRequest,
    handle: impl FnOnce(Request) -> F,
) -> std::result::Result<RawResponse, RawError> {
    let response = Response::of(handle(Request::new(IncomingRequest(request))).await);
    let headers = Fields::from_list(&response.headers)
        .map_err(|e| ErrorCode::InternalError(Some(format!("can't set the headers: {e:?}"))))?;
    let raw = match response.content {
        Content::Missing => {
            return Err(ErrorCode::InternalError(Some("the guest gave no response".to_owned())));
        }
        // A write of nothing would wait for a reader that may not come.
        Content::Full(data) if !data.is_empty() => {
            let (mut outgoing, stream, trailers) = Outgoing::new();
            let (raw, _sent) = RawResponse::new(headers, Some(stream), trailers);
            super::spawn(async move {
                // What could not be written has no reader left: the client is gone.
                let _ = outgoing.write(data).await;
                outgoing.finish(Vec::new()).await;
            });
            raw
        }
        Content::Empty | Content::Full(_) => {
            let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
            let (raw, _sent) = RawResponse::new(headers, None, trailers_reader);
            super::spawn(async move { drop(trailers.write(Ok(None)).await) });
            raw
        }
        Content::Stream(write) => {
            let (outgoing, stream, trailers) = Outgoing::new();
            let (raw, _sent) = RawResponse::new(headers, Some(stream), trailers);
            super::spawn(async move { write(BodyWriter::new(outgoing)).await });
            raw
        }
    };
    raw.set_status_code(response.status)
        .map_err(|()| ErrorCode::InternalError(Some(format!("no status {}", response.status))))?;
    Ok(raw)
}
