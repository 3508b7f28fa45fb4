//! A worker's open connections: HTTP/1.1 and h2c on the same port, until they are drained.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use http::{Request, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{
    readers::{Readers, Watched},
    service::{MAX_HEADERS, Service},
    stream::{NOT_READ, Patience, Stream},
};

/// How long a client that has connected and said nothing yet may take to say something, once the
/// worker is to stop: its first request is on its way, mostly.
const FIRST_BYTES: Duration = Duration::from_millis(500);

/// How often a silent HTTP/2 client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(60);

/// The most requests that one HTTP/2 connection has under way.
const MAX_STREAMS: u32 = 200;

/// The most requests that an HTTP/2 client has begun and taken back, and that were not yet looked at;
/// past it the connection ends (CVE-2023-44487).
const MAX_TAKEN_BACK: usize = 20;

/// The most streams of an HTTP/2 connection that ended for its client's mistakes; past it the
/// connection ends.
const MAX_MISTAKES: usize = 1024;

/// What a client may send, and how slowly.
pub(super) struct Limits {
    /// The most bytes of a request's head.
    pub(super) header_size: usize,
    /// How slow it may be.
    pub(super) patience: Patience,
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    service: Arc<Service>,
    patience: Patience,
    http: Arc<auto::Builder<TokioExecutor>>,
    stopping: Arc<watch::Sender<bool>>,
    /// Every connection holds a receiver.
    draining: Arc<watch::Sender<bool>>,
}

impl Connections {
    pub(super) fn new(service: Arc<Service>, limits: &Limits) -> Self {
        let Limits { header_size, patience } = *limits;
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            // Between two requests as well.
            .header_read_timeout(patience.header)
            .max_headers(MAX_HEADERS)
            .max_buf_size(header_size);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .max_header_list_size(u32::try_from(header_size).unwrap_or(u32::MAX))
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
            .max_local_error_reset_streams(MAX_MISTAKES);
        Self {
            service,
            patience,
            http: Arc::new(http),
            stopping: Arc::new(watch::channel(false).0),
            draining: Arc::new(watch::channel(false).0),
        }
    }

    /// Serves one to its end, and then calls `closed`.
    pub(super) fn serve(&self, stream: TcpStream, closed: impl FnOnce() + Send + 'static) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("cannot set TCP_NODELAY: {error}");
        }
        let (service, readers) = (self.service.clone(), Arc::new(Readers::default()));
        let of_connection = readers.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let service = service.clone();
            let readers = (request.version() == Version::HTTP_2).then(|| of_connection.clone());
            async move {
                let response = service.serve(request).await;
                Ok::<_, Infallible>(response.map(|body| match readers {
                    Some(readers) => Watched::by(readers, body),
                    None => Watched::not(body),
                }))
            }
        });
        let (http, patience) = (self.http.clone(), self.patience);
        let mut draining = self.draining.subscribe();
        tokio::spawn(async move {
            if speaks(&stream, patience.header, &mut draining).await {
                let stream = Stream::new(stream, patience);
                let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
                let ended = tokio::select! {
                    // First: what has arrived is read before it is told to end.
                    biased;
                    ended = connection.as_mut() => ended,
                    () = readers.stalled(patience.write) => Err(NOT_READ.into()),
                    () = told(&mut draining) => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    // The client's affair, mostly.
                    tracing::debug!("a connection ended early: {:#}", anyhow::Error::from_boxed(error));
                }
            }
            closed();
        });
    }

    /// Those who accept are to stop.
    pub(super) fn stop_accepting(&self) {
        self.stopping.send_replace(true);
    }

    /// Returns when accepting is to stop.
    pub(super) async fn stopping(&self) {
        told(&mut self.stopping.subscribe()).await;
    }

    /// Lets every connection finish what it has begun, tells keep-alive clients to go, and returns
    /// when the last one is closed. No connection may come any more.
    pub(super) async fn drained(&self) {
        // What has arrived is seen by the connections before they are told.
        tokio::task::yield_now().await;
        self.draining.send_replace(true);
        self.draining.closed().await;
    }
}

/// Returns when it is so. The senders live as long as who waits.
async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|told| *told).await;
}

/// Has the client something to say? False where it still has not when the worker stops. Hyper can't
/// be asked: it closes a connection of which it has read nothing at once.
async fn speaks(stream: &TcpStream, limit: Duration, draining: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        // An error is hyper's to find.
        spoken = timeout(limit, stream.readable()) => spoken.is_ok(),
        () = told(draining) => timeout(FIRST_BYTES, stream.readable()).await.is_ok(),
    }
}
