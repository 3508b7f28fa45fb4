//! One request to another host and its response: HTTP/1.1, over TLS for `https`, on a connection of its own
//! from [`super::Dial`].
//!
//! ```text
//!   room -> dial -> (TLS) -> request, its body metered -> head of the response -> its body metered
//!   |------ connect -----|   |------------- first byte -------------|  |-- between bytes, each --|
//! ```
//!
//! Every wait has a time, the guest's own or ours where that is shorter; heads, bodies and the number of
//! connections have bounds (`outgoing`). What goes wrong is told by the code that WASI has for it.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, pki_types::ServerName},
};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody};

use super::{
    Outgoing,
    meter::{Meter, Metered, Patience},
};
use crate::cluster::{DialError, Origin, Scheme};

/// The most bytes of a response's head, and of what is read at once.
const MAX_HEAD: usize = 64 * 1024;

/// The most fields of a response's head.
const MAX_FIELDS: usize = 100;

/// How long a guest can wait at the most.
const LONGEST: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_secs(300),
    between_bytes: Duration::from_secs(300),
};

/// How long each step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// Until request bytes can be sent.
    connect: Duration,
    /// From then on, until the response's head is there.
    first_byte: Duration,
    /// For more of the response's body that the guest waits for.
    between_bytes: Duration,
}

impl Timeouts {
    /// The guest's, where they are shorter.
    pub(super) fn of(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let least = |wanted: Option<Duration>, longest: Duration| wanted.unwrap_or(longest).min(longest);
        Self {
            connect: least(options.connect_timeout, LONGEST.connect),
            first_byte: least(options.first_byte_timeout, LONGEST.first_byte),
            between_bytes: least(options.between_bytes_timeout, LONGEST.between_bytes),
        }
    }
}

/// What is to be sent.
pub(super) struct Exchange {
    /// Where to.
    pub(super) to: Origin,
    /// Its URI is absolute.
    pub(super) request: Request<WasiBody>,
    pub(super) timeouts: Timeouts,
}

/// Drives a connection to its end.
pub(super) type Io = Box<dyn Future<Output = Result<()>> + Send>;

/// Sends the request, and gives the head of its response as soon as it is there. The connection lives as
/// long as what drives it.
pub(super) async fn exchange(outgoing: &Outgoing, exchange: Exchange) -> Result<(Response<WasiBody>, Io)> {
    let Exchange { to, mut request, timeouts } = exchange;
    let room = outgoing.room()?;
    let connecting = connect(outgoing, &to, timeouts.connect);
    let Ok(stream) = timeout(timeouts.connect, connecting).await else {
        return Err(Error::ConnectionTimeout);
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_FIELDS);
    let handshake = builder.handshake(TokioIo::new(stream?)).await;
    let (mut sender, connection) = handshake.map_err(|_| Error::ConnectionTerminated)?;

    // A server that is no proxy wants the path alone; the host is in its field.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    let meter = Meter::new(outgoing.size, Arc::clone(&outgoing.on_hit));
    let sent = Arc::clone(&meter);
    let request = request.map(|body| Metered::request(body, sent));

    let mut connection = Box::pin(connection);
    let mut has_ended = false;
    let mut sending = pin!(sender.send_request(request));
    let head = poll_fn(|cx| {
        let head = sending.as_mut().poll(cx);
        if head.is_ready() || has_ended {
            return head;
        }
        let Poll::Ready(ended) = connection.as_mut().poll(cx) else { return Poll::Pending };
        has_ended = true;
        match ended {
            // With the connection's last turn the response may have come.
            Ok(()) => sending.as_mut().poll(cx),
            Err(error) => Poll::Ready(Err(error)),
        }
    });
    let Ok(head) = timeout(timeouts.first_byte, head).await else { return Err(Error::ConnectionReadTimeout) };
    let response = head.map_err(|error| failure(&error, &meter))?;
    let patience = Patience::new(timeouts.between_bytes);
    let received = Arc::clone(&meter);
    let response = response.map(|body| Metered::response(body, received, patience).boxed_unsync());
    let io = async move {
        let _room = room;
        if has_ended { Ok(()) } else { connection.await.map_err(|error| failure(&error, &meter)) }
    };
    Ok((response, Box::new(io)))
}

/// Either kind of connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(outgoing: &Outgoing, to: &Origin, within: Duration) -> Result<Pin<Box<dyn Stream>>> {
    let stream: TcpStream = outgoing.dial.dial(to.clone(), within).await.map_err(refusal)?;
    match to.scheme {
        Scheme::Http => Ok(Box::pin(stream)),
        Scheme::Https => {
            let host = to.host.trim_start_matches('[').trim_end_matches([']', '.']);
            let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
            let connector = TlsConnector::from(outgoing.tls()?);
            Ok(Box::pin(connector.connect(name, stream).await.map_err(|error| tls_failure(&error))?))
        }
    }
}

fn refusal(error: DialError) -> Error {
    match error {
        DialError::Denied => Error::HttpRequestDenied,
        DialError::Prohibited => Error::DestinationIpProhibited,
        DialError::NotFound => Error::DnsError { rcode: Some("no such host".to_owned()), info_code: None },
        DialError::Refused => Error::ConnectionRefused,
        DialError::Unreachable => Error::DestinationIpUnroutable,
        DialError::TimedOut => Error::ConnectionTimeout,
        DialError::Overloaded => Error::ConnectionLimitReached,
        DialError::Unavailable => Error::DestinationUnavailable,
    }
}

fn tls_failure(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}

/// What hyper says, as WASI has it. Nothing of it goes to the log: a guest could fill that.
pub(super) fn failure(error: &hyper::Error, meter: &Meter) -> Error {
    if let Some(error) = meter.failure() {
        error
    } else if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(Some(MAX_HEAD as u32))
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_canceled() || error.is_closed() {
        Error::ConnectionTerminated
    } else {
        match of_system(error) {
            Some(io::ErrorKind::UnexpectedEof) => Error::HttpResponseIncomplete,
            // What can't be decoded comes as an error of I/O too.
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) | None => Error::HttpProtocolError,
            Some(_) => Error::ConnectionTerminated,
        }
    }
}

fn of_system(error: &hyper::Error) -> Option<io::ErrorKind> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<io::Error>().map(io::Error::kind)
}

#[cfg(test)]
mod tests;
