//! The host's part of outgoing `wasi:http`: only where the manifest allows.

use http::Request;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks, default_send_request};

use crate::manifest::OutboundHost;

/// The most bytes that are copied out of a guest for one chunk of a body.
const BODY_CHUNK: usize = 64 * 1024;

/// What a guest may reach.
pub(super) struct Outbound {
    allowed: std::sync::Arc<[OutboundHost]>,
}

impl Outbound {
    pub(super) fn new(allowed: &[OutboundHost]) -> Self {
        Self { allowed: allowed.into() }
    }

    fn allows(&self, uri: &http::Uri) -> bool {
        let Some(scheme) = uri.scheme_str() else { return false };
        let Some(host) = uri.host() else { return false };
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        self.allowed.iter().any(|allowed| allowed.allows(scheme, host, port))
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Io)>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.allows(request.uri()) {
            tracing::warn!(
                "request to {} denied: add it to `allowed-outbound-hosts` to allow it",
                Origin(request.uri())
            );
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(async move {
            let (response, io) = default_send_request(request, options).await?;
            Ok((response.map(http_body_util::BodyExt::boxed_unsync), Box::new(io) as Io))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }
}

/// Scheme, host and port, without the path, which may hold secrets.
struct Origin<'a>(&'a http::Uri);

impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.0.authority().map_or("?", |authority| {
            // Without user information.
            authority.as_str().rsplit('@').next().unwrap_or("?")
        });
        write!(f, "{}://{host}", self.0.scheme_str().unwrap_or("?"))
    }
}
