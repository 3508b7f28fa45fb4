//! Outgoing HTTP on WASI 0.2.

use super::body::{Incoming, Outgoing};
use crate::body::Body;
use crate::fetch::{Fetch, Fetched};
use crate::{Error, Result};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingRequest, RequestOptions, Scheme};

pub(crate) async fn send(fetch: Fetch) -> Result<Fetched> {
    let request = request(&fetch)?;
    let body = request.body().map_err(|()| Error::new("no body"))?;
    let code = |code| Error::new(format_args!("{code:?}"));
    let response = outgoing_handler::handle(request, options(&fetch)?).map_err(code)?;
    let mut outgoing = Outgoing::new(body)?;
    // Where the server answers without reading, the response says why.
    let _ = outgoing.write(fetch.body.unwrap_or_default()).await;
    outgoing.finish(Vec::new()).await;
    response.subscribe().block();
    let response = match response.get() {
        Some(Ok(result)) => result.map_err(code)?,
        Some(Err(())) | None => return Err(Error::new("the response was not there")),
    };
    let body = response.consume().map_err(|()| Error::new("the body was already taken"))?;
    Ok(Fetched {
        status: response.status(),
        headers: response.headers().entries(),
        body: Body::new(Incoming::new(body)?),
    })
}

fn request(fetch: &Fetch) -> Result<OutgoingRequest> {
    let target = fetch.target()?;
    let headers = Fields::from_list(&fetch.headers)
        .map_err(|e| Error::new(format_args!("can't set the headers: {e:?}")))?;
    let request = OutgoingRequest::new(headers);
    let scheme = if target.https { Scheme::Https } else { Scheme::Http };
    request
        .set_method(&method(&fetch.method))
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(target.authority)))
        .and_then(|()| request.set_path_with_query(Some(&target.path)))
        .map_err(|()| Error::new("the method or the url is malformed"))?;
    Ok(request)
}

fn options(fetch: &Fetch) -> Result<Option<RequestOptions>> {
    let Some(timeout) = fetch.timeout else { return Ok(None) };
    let nanos = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    options
        .set_connect_timeout(nanos)
        .and_then(|()| options.set_first_byte_timeout(nanos))
        .and_then(|()| options.set_between_bytes_timeout(nanos))
        .map_err(|()| Error::new("can't set the timeout"))?;
    Ok(Some(options))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}
