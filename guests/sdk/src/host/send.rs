//! Outgoing HTTP on WASI 0.3.

use super::body::{Incoming, Outgoing, code};
use crate::body::Body;
use crate::fetch::{Fetch, Fetched};
use crate::{Error, Result};
use wasip3::http::client;
use wasip3::http::types::{Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::wit_future;

pub(crate) async fn send(fetch: Fetch) -> Result<Fetched> {
    let response = client::send(request(&fetch)?).await.map_err(code)?;
    Ok(Fetched {
        status: response.get_status_code(),
        headers: response.get_headers().copy_all(),
        body: Body::new(Incoming::new(|done| Response::consume_body(response, done))),
    })
}

fn request(fetch: &Fetch) -> Result<Request> {
    let target = fetch.target()?;
    let headers = Fields::from_list(&fetch.headers)
        .map_err(|e| Error::new(format_args!("can't set the headers: {e:?}")))?;
    let options = options(fetch)?;
    let request = if let Some(data) = fetch.body.clone() {
        let (mut outgoing, stream, trailers) = Outgoing::new();
        let (request, sent) = Request::new(headers, Some(stream), trailers, options);
        super::spawn(async move {
            // Where the server answers without reading, the response says why.
            let _ = outgoing.write(data).await;
            outgoing.finish(Vec::new()).await;
            let _ = sent.await;
        });
        request
    } else {
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        let (request, sent) = Request::new(headers, None, trailers_reader, options);
        super::spawn(async move {
            let _ = trailers.write(Ok(None)).await;
            let _ = sent.await;
        });
        request
    };
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
        .map_err(|e| Error::new(format_args!("can't set the timeout: {e:?}")))?;
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
