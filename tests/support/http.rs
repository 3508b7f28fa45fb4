//! HTTP clients: one connection, HTTP/1.1 or h2c, and requests on it.
//!
//! Connections live on a thread of their own, so that they go on while a test's own thread waits for
//! a cluster to stop.

use std::{convert::Infallible, net::SocketAddr, sync::LazyLock, thread, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, channel::mpsc};
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::de::DeserializeOwned;
use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::watch,
    time::timeout,
};

/// How long a response may take. Longer than the default `request-timeout`.
const LIMIT: Duration = Duration::from_secs(60);

/// How long after a connection's end its answers may still be given out.
const SETTLES: Duration = Duration::from_secs(1);

/// Where connections live.
static CLIENTS: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
});

/// A request's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a connection speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    /// HTTP/1.1.
    H1,
    /// HTTP/2 without TLS, known beforehand.
    H2,
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Why there is no whole response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The server did not take the connection.
    #[error("the connection was not taken: {0}")]
    Refused(std::io::Error),
    /// The connection was found closed before the request was written; or, in HTTP/2, before it was
    /// looked at.
    #[error("not a byte was sent: {0:?}")]
    Unsent(hyper::Error),
    /// The request was written, at least in part.
    #[error("sent, and not answered: {0:?}")]
    Unanswered(hyper::Error),
    /// The connection ended in order, after a GOAWAY, without a word of the request's fate. Seen about
    /// once in 100,000 connections that get a GOAWAY. It is the client's own: hyper hands requests to the
    /// connection's task through one of Tokio's channels, and what one thread puts into it while the
    /// other drops the receiver may stay there for as long as the sender lives. The request was never
    /// written, and no socket is left at either end.
    #[error("the connection ended in order, and the client forgot the request")]
    Forgotten,
    #[error("no answer within {LIMIT:?}")]
    Late,
}

impl Broken {
    /// Not a byte of the request was written.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::Unsent(_) | Self::Forgotten)
    }
}

/// An open connection.
pub(crate) struct Connection {
    addr: SocketAddr,
    sender: Sender,
}

enum Sender {
    H1(http1::SendRequest<Body>),
    /// True once its connection has ended in order.
    H2(http2::SendRequest<Body>, watch::Receiver<bool>),
}

impl Sender {
    async fn open(addr: SocketAddr, version: Version) -> Result<Self, Broken> {
        let stream = TcpStream::connect(addr).await.map_err(Broken::Refused)?;
        stream.set_nodelay(true).map_err(Broken::Refused)?;
        let io = TokioIo::new(stream);
        Ok(match version {
            Version::H1 => {
                let (sender, connection) = http1::handshake(io).await.map_err(Broken::Unsent)?;
                tokio::spawn(connection);
                Self::H1(sender)
            }
            Version::H2 => {
                let shaken = http2::handshake(TokioExecutor::new(), io).await;
                let (sender, connection) = shaken.map_err(Broken::Unsent)?;
                let (ended, end) = watch::channel(false);
                tokio::spawn(async move { ended.send_replace(connection.await.is_ok()) });
                Self::H2(sender, end)
            }
        })
    }
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr, version: Version) -> Self {
        Self::try_open(addr, version).await.unwrap_or_else(|error| panic!("{addr}: {error}"))
    }

    pub(crate) async fn try_open(addr: SocketAddr, version: Version) -> Result<Self, Broken> {
        let sender = CLIENTS.spawn(Sender::open(addr, version)).await.unwrap()?;
        Ok(Self { addr, sender })
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn begin(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Broken> {
        let (mut parts, body) = request.into_parts();
        let sent = match &mut self.sender {
            Sender::H1(sender) => {
                sender.ready().await.map_err(Broken::Unsent)?;
                if !parts.headers.contains_key(header::HOST) {
                    parts.headers.insert(header::HOST, self.addr.to_string().parse().unwrap());
                }
                timeout(LIMIT, sender.try_send_request(Request::from_parts(parts, body)))
                    .await
                    .map(given_back)
            }
            Sender::H2(sender, end) => {
                sender.ready().await.map_err(Broken::Unsent)?;
                parts.uri = format!("http://{}{}", self.addr, parts.uri).parse().unwrap();
                let sent = sender.try_send_request(Request::from_parts(parts, body));
                tokio::select! {
                    biased;
                    sent = timeout(LIMIT, sent) => sent.map(given_back),
                    () = forgotten(end) => Ok(Err(Broken::Forgotten)),
                }
            }
        };
        sent.unwrap_or(Err(Broken::Late))
    }

    /// Sends a request and reads its response to the end.
    pub(crate) async fn try_send(&mut self, request: Request<Body>) -> Result<Reply, Broken> {
        let response = self.begin(request).await?;
        timeout(LIMIT, read(response)).await.unwrap_or(Err(Broken::Late))
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Reply {
        let what = format!("{} {}", request.method(), request.uri());
        self.try_send(request).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send(request("GET", path, empty())).await
    }
}

/// Returns some time after an orderly end: what was answered has been given out by then.
async fn forgotten(end: &mut watch::Receiver<bool>) {
    if end.wait_for(|ended| *ended).await.is_err() {
        // It broke, and the request with it.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(SETTLES).await;
}

/// A request that hyper gives back was not sent: not a byte of it was written.
fn given_back<T>(sent: Result<T, TrySendError<Request<Body>>>) -> Result<T, Broken> {
    sent.map_err(|mut error| {
        let is_given_back = error.take_message().is_some();
        let error = error.into_error();
        // In HTTP/2 what an orderly GOAWAY leaves out was not looked at, and clients send it again.
        // Hyper says so too where the GOAWAY came just before it wrote the request.
        let is_left_out = format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)");
        if is_given_back || is_left_out { Broken::Unsent(error) } else { Broken::Unanswered(error) }
    })
}

async fn read(response: Response<Incoming>) -> Result<Reply, Broken> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(Broken::Unanswered)?;
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        trailers: body.trailers().cloned().unwrap_or_default(),
        body: body.to_bytes(),
    })
}

pub(crate) fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body).unwrap()
}

pub(crate) fn empty() -> Body {
    Empty::new().boxed_unsync()
}

pub(crate) fn full(data: impl Into<Bytes>) -> Body {
    Full::new(data.into()).boxed_unsync()
}

/// A body of what is put into the other end, until that is dropped. `bound` chunks may wait.
pub(crate) fn streamed(bound: usize) -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, frames) = mpsc::channel(bound);
    (sender, StreamBody::new(frames.map(Ok)).boxed_unsync())
}

/// `GET` on a connection of its own.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> Reply {
    try_get(addr, path).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

pub(crate) async fn try_get(addr: SocketAddr, path: &str) -> Result<Reply, Broken> {
    let mut connection = Connection::try_open(addr, Version::H1).await?;
    connection.try_send(request("GET", path, empty())).await
}

/// `POST` on a connection of its own.
pub(crate) async fn post(addr: SocketAddr, path: &str, data: impl Into<Bytes>) -> Reply {
    Connection::open(addr, Version::H1).await.send(request("POST", path, full(data))).await
}

/// `PUT` on a connection of its own.
pub(crate) async fn put(addr: SocketAddr, path: &str, data: impl Into<Bytes>) -> Reply {
    try_put(addr, path, data).await.unwrap_or_else(|error| panic!("PUT {path}: {error}"))
}

pub(crate) async fn try_put(addr: SocketAddr, path: &str, data: impl Into<Bytes>) -> Result<Reply, Broken> {
    let mut connection = Connection::try_open(addr, Version::H1).await?;
    connection.try_send(request("PUT", path, full(data))).await
}
