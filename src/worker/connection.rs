//! A worker's open connections: HTTP/1.1 and h2c on the same port, until they are drained.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderValue, Request, Version, header::CONNECTION};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::timeout,
};

use super::{
    readers::{Readers, Watched},
    service::Service,
    stream::{NOT_READ, Patience, Stream, Watch},
};
use crate::cluster::Limit;

/// How long a client that has connected and said nothing yet may take to say something, once idle
/// connections are closed: its first request is on its way, mostly.
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
    /// Those who accept for themselves may begin.
    opened: Arc<watch::Sender<bool>>,
    stopping: Arc<watch::Sender<bool>>,
    /// Every connection holds a receiver.
    drain: Arc<watch::Sender<Drain>>,
    /// What `drain` says, for each response.
    is_draining: Arc<AtomicBool>,
}

/// How far connections are on their way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Drain {
    No,
    /// The next response of each is its last one.
    Lingering,
    /// And those on which nothing goes on are closed.
    Closing,
}

/// What is known of one connection.
struct Wire {
    is_draining: Arc<AtomicBool>,
    is_h2: AtomicBool,
    is_h2_now: Notify,
}

impl Wire {
    fn saw(&self, version: Version) {
        if version == Version::HTTP_2 && !self.is_h2.swap(true, Relaxed) {
            self.is_h2_now.notify_one();
        }
    }

    /// HTTP/2 can say by itself that no further request is taken; HTTP/1 only with a response.
    fn end<B>(&self, response: &mut hyper::Response<B>) {
        if self.is_draining.load(Relaxed) && !self.is_h2.load(Relaxed) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    async fn speaks_h2(&self) {
        while !self.is_h2.load(Relaxed) {
            self.is_h2_now.notified().await;
        }
    }
}

impl Connections {
    pub(super) fn new(service: Arc<Service>, limits: &Limits) -> Self {
        let Limits { header_size, patience } = *limits;
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            // Between two requests as well.
            .header_read_timeout(patience.header)
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
            opened: Arc::new(watch::channel(false).0),
            stopping: Arc::new(watch::channel(false).0),
            drain: Arc::new(watch::channel(Drain::No).0),
            is_draining: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Serves one to its end, and then calls `closed`.
    pub(super) fn serve(&self, stream: TcpStream, closed: impl FnOnce() + Send + 'static) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("cannot set TCP_NODELAY: {error}");
        }
        let (service, readers) = (self.service.clone(), Arc::new(Readers::default()));
        let is_draining = self.is_draining.clone();
        let connected = self.service.connected();
        let wire = Arc::new(Wire { is_draining, is_h2: AtomicBool::new(false), is_h2_now: Notify::new() });
        let (its, of_connection) = (wire.clone(), readers.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let (service, wire) = (service.clone(), its.clone());
            let readers = (request.version() == Version::HTTP_2).then(|| of_connection.clone());
            async move {
                wire.saw(request.version());
                let mut response = service.serve(request).await;
                wire.end(&mut response);
                Ok::<_, Infallible>(response.map(|body| match readers {
                    Some(readers) => Watched::by(readers, body),
                    None => Watched::not(body),
                }))
            }
        });
        let (http, patience) = (self.http.clone(), self.patience);
        let watch = Watch { service: self.service.clone(), in_head: Arc::new(AtomicBool::new(false)) };
        let mut drain = self.drain.subscribe();
        tokio::spawn(async move {
            let spoken = speaks(&stream, patience.header, &mut drain).await;
            if spoken == Spoken::Late {
                watch.service.hit(Limit::HeaderTimeout);
            }
            if spoken == Spoken::InTime {
                let stream = Stream::new(stream, patience, watch.clone());
                let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
                let served = async {
                    tokio::select! {
                        // First: what has arrived is read before it is told to end.
                        biased;
                        ended = connection.as_mut() => return ended,
                        () = must_end(&mut drain, &wire) => {}
                    }
                    connection.as_mut().graceful_shutdown();
                    connection.await
                };
                let ended = tokio::select! {
                    biased;
                    ended = served => ended,
                    // Also when it is to end: what is left unread would hold the drain.
                    () = readers.stalled(patience.write) => {
                        watch.service.hit(Limit::WriteTimeout);
                        Err(NOT_READ.into())
                    }
                };
                if let Err(error) = ended {
                    if let Some(limit) = passed(error.as_ref(), &watch) {
                        watch.service.hit(limit);
                    }
                    // The client's affair, mostly.
                    tracing::debug!("a connection ended early: {:#}", anyhow::Error::from_boxed(error));
                }
            }
            drop(connected);
            closed();
        });
    }

    /// Those who accept for themselves may begin.
    pub(super) fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Returns when accepting may begin; false where it is to stop before that.
    pub(super) async fn opened(&self) -> bool {
        let mut opened = self.opened.subscribe();
        tokio::select! {
            biased;
            () = told(&mut opened) => true,
            () = self.stopping() => false,
        }
    }

    /// One more was refused: there are as many as may be.
    pub(super) fn is_full(&self) {
        self.service.hit(Limit::Connections);
    }

    /// How many requests have come.
    pub(super) fn requests(&self) -> u64 {
        self.service.requests()
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
    /// when the last one is closed. Those on which nothing goes on are kept for `linger`: a request
    /// may be on its way. No connection may come any more.
    pub(super) async fn drained(&self, linger: Duration) {
        // What has arrived is seen by the connections before they are told.
        tokio::task::yield_now().await;
        self.is_draining.store(true, Relaxed);
        if !linger.is_zero() {
            self.to(Drain::Lingering);
            if timeout(linger, self.drain.closed()).await.is_ok() {
                return;
            }
        }
        self.close_idle();
        self.drain.closed().await;
    }

    /// Connections on which nothing goes on are not kept any longer.
    pub(super) fn close_idle(&self) {
        self.to(Drain::Closing);
    }

    fn to(&self, further: Drain) {
        self.drain.send_if_modified(|drain| {
            let goes_on = further > *drain;
            *drain = further.max(*drain);
            goes_on
        });
    }
}

/// Returns when it is so. The senders live as long as who waits.
async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|told| *told).await;
}

/// The limit of which hyper says that a client has passed it. (HTTP/2 refuses heads that are too large without
/// a word.)
fn passed(error: &(dyn std::error::Error + 'static), watch: &Watch) -> Option<Limit> {
    let error = error.downcast_ref::<hyper::Error>()?;
    match (error.is_parse_too_large(), error.is_timeout()) {
        (true, _) => Some(Limit::HeaderSize),
        // Between two requests it is an idle client that goes.
        (false, true) => watch.in_head.load(Relaxed).then_some(Limit::HeaderTimeout),
        (false, false) => None,
    }
}

/// Whether a client has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    InTime,
    /// It had as long as it may have.
    Late,
    /// It had not when the worker stopped.
    Never,
}

/// Has the client something to say? Hyper can't be asked: it closes a connection of which it has read nothing
/// at once.
async fn speaks(stream: &TcpStream, limit: Duration, drain: &mut watch::Receiver<Drain>) -> Spoken {
    tokio::select! {
        // An error is hyper's to find.
        spoken = timeout(limit, stream.readable()) => spoken.map_or(Spoken::Late, |_| Spoken::InTime),
        () = reaches(drain, Drain::Closing) => {
            timeout(FIRST_BYTES, stream.readable()).await.map_or(Spoken::Never, |_| Spoken::InTime)
        }
    }
}

/// Returns when drains have come so far.
async fn reaches(drain: &mut watch::Receiver<Drain>, least: Drain) {
    let _ = drain.wait_for(|drain| *drain >= least).await;
}

/// Returns when hyper is to end the connection: HTTP/2 at once, since it tells the client and takes
/// what is on its way; HTTP/1 only when it was silent for long, since hyper closes it where it is
/// idle, and a request that the client just sends would be lost.
async fn must_end(drain: &mut watch::Receiver<Drain>, wire: &Wire) {
    reaches(drain, Drain::Lingering).await;
    tokio::select! {
        () = reaches(drain, Drain::Closing) => {}
        () = wire.speaks_h2() => {}
    }
}
