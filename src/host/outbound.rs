//! The host's part of outgoing `wasi:http`: what a guest wants to send, as `exchange` does it. Nothing is
//! followed: a redirect is the guest's, and its next request is looked at as this one was.

use std::sync::Arc;

use http::{Method, Request, Uri};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

use super::{
    Outgoing,
    exchange::{Exchange, Io, Timeouts, exchange},
};
use crate::cluster::{MAX_HOST, Origin, Scheme};

/// The most bytes that are copied out of a guest for one chunk of a body.
const BODY_CHUNK: usize = 64 * 1024;

/// One guest's way out.
pub(super) struct Outbound(Arc<Outgoing>);

impl Outbound {
    pub(super) fn new(outgoing: &Arc<Outgoing>) -> Self {
        Self(Arc::clone(outgoing))
    }
}

type Sent = Result<(http::Response<WasiBody>, Io)>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let outgoing = Arc::clone(&self.0);
        Box::new(async move {
            // What comes after a CONNECT would be no HTTP any more.
            if request.method() == Method::CONNECT {
                return Err(Error::HttpRequestMethodInvalid);
            }
            let to = origin(request.uri())?;
            exchange(&outgoing, Exchange { to, request, timeouts: Timeouts::of(options) }).await
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }
}

/// Where it goes. Who decides on it reads the host more strictly.
fn origin(uri: &Uri) -> Result<Origin> {
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(Error::HttpProtocolError),
    };
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let host = authority.host();
    // A user before an `@` is of no use, and hides the host from who reads it.
    if authority.as_str().contains('@') || host.is_empty() || host.len() > MAX_HOST {
        return Err(Error::HttpRequestUriInvalid);
    }
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        // `host:` and `host:99999` have one that is none.
        None if authority.as_str() != host => return Err(Error::HttpRequestUriInvalid),
        None => scheme.port(),
    };
    Ok(Origin { scheme, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_as_a_table() {
        for (uri, expected) in [
            ("http://a.com", Some("http://a.com")),
            ("http://a.com/path?secret", Some("http://a.com")),
            ("HTTPS://A.com", Some("https://A.com")),
            ("http://a.com:443/", Some("http://a.com:443")),
            ("http://[::1]:8080/", Some("http://[::1]:8080")),
            ("https://[::1]/", Some("https://[::1]")),
            ("https://a.com./", Some("https://a.com.")),
            ("http://user@a.com/", None),
            ("http://user:password@a.com/", None),
            ("http://127.0.0.1:80@a.com/", None),
            ("http://a.com:/", None),
            ("http://a.com:99999/", None),
            ("http://a.com:0/", Some("http://a.com:0")),
            ("ftp://a.com/", None),
            ("/path", None),
        ] {
            let found = uri.parse::<Uri>().ok().and_then(|uri| origin(&uri).ok());
            assert_eq!(found.map(|origin| origin.to_string()).as_deref(), expected, "{uri}");
        }
        let long: Uri = format!("http://{}/", "a".repeat(MAX_HOST + 1)).parse().unwrap();
        assert!(origin(&long).is_err());
    }
}
