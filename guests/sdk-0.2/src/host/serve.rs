//! A request through the handler, on WASI 0.2. The export macro calls this.

use super::body::{Incoming, Outgoing};
use crate::body::{BodyWriter, Headers};
use crate::response::Content;
use crate::{Error, Request, Response, Result};
use std::future::Future;
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingResponse, ResponseOutparam};

/// The request that the export is given.
pub type RawRequest = wasip2::http::types::IncomingRequest;
/// Where the export leaves its response.
pub type RawOutparam = ResponseOutparam;

/// What [`Request`] is made of.
pub struct IncomingRequest(RawRequest);

impl IncomingRequest {
    pub(crate) fn method(&self) -> String {
        let name = match self.0.method() {
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
        self.0.path_with_query().unwrap_or_else(|| "/".to_owned())
    }

    pub(crate) fn headers(&self) -> Headers {
        self.0.headers().entries()
    }

    pub(crate) fn into_body(self) -> Result<Incoming> {
        Incoming::new(self.0.consume().map_err(|()| Error::new("the body was already taken"))?)
    }
}

/// Calls `handle` and sends what it returns, body and all.
pub async fn serve<F: Future<Output = Result<Response>>>(
    request: RawRequest,
    outparam: RawOutparam,
    handle: impl FnOnce(Request) -> F,
) {
    let response = Response::of(handle(Request::new(IncomingRequest(request))).await);
    if let Content::Missing = response.content {
        return;
    }
    let raw = match head(&response) {
        Ok(raw) => raw,
        Err(reason) => {
            let code = ErrorCode::InternalError(Some(reason.to_string()));
            return ResponseOutparam::set(outparam, Err(code));
        }
    };
    let body = raw.body();
    ResponseOutparam::set(outparam, Ok(raw));
    let Ok(outgoing) = body.map_err(|()| Error::new("no body")).and_then(Outgoing::new) else {
        return;
    };
    match response.content {
        Content::Stream(write) => write(BodyWriter::new(outgoing)).await,
        Content::Full(data) => {
            let mut outgoing = outgoing;
            if outgoing.write(data).await.is_ok() {
                outgoing.finish(Vec::new()).await;
            }
        }
        Content::Empty | Content::Missing => outgoing.finish(Vec::new()).await,
    }
}

fn head(response: &Response) -> Result<OutgoingResponse> {
    let headers = Fields::from_list(&response.headers)
        .map_err(|e| Error::new(format_args!("can't set the headers: {e:?}")))?;
    let raw = OutgoingResponse::new(headers);
    raw.set_status_code(response.status)
        .map_err(|()| Error::new(format_args!("no status {}", response.status)))?;
    Ok(raw)
}
