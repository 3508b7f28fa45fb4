//! A request's body on its way from the client to the guest, and how much and how slow it may be.
//!
//! `worker::service` makes it. A body that breaks a bound fails for the guest, and says so to who
//! waits for the response. Nothing is read before the guest reads.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};
use wasmtime_wasi_http::Error;

/// What a guest may be sent.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The most bytes.
    pub size: Option<u64>,
    /// The longest that the guest waits for some more of it.
    pub timeout: Duration,
}

/// Why a body failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFailure {
    /// It is larger than `body-size`.
    TooLarge,
    /// The client was slower than `body-timeout`.
    TooSlow,
}

/// A request's body.
pub enum RequestBody {
    /// There is none.
    Empty,
    /// What the client sends.
    Client(Box<ClientBody>),
}

/// A client's body within its bounds.
pub struct ClientBody {
    body: Incoming,
    /// Bytes that may still come.
    left: Option<u64>,
    limits: BodyLimits,
    /// Made when the guest first waits.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: Arc<AtomicBool>,
    /// Taken with the first failure.
    failed: Option<oneshot::Sender<BodyFailure>>,
}

/// What who waits for the response hears of the body.
pub struct Upload {
    /// The bound that it broke; closed when the body is gone and broke none.
    pub failed: oneshot::Receiver<BodyFailure>,
    waiting: Arc<AtomicBool>,
}

impl Upload {
    /// Does the guest wait for the client to send more?
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.waiting.load(Relaxed)
    }
}

impl RequestBody {
    /// A body that keeps to `limits`, and what is to be known of it.
    #[must_use]
    pub fn of_client(body: Incoming, limits: BodyLimits) -> (Self, Upload) {
        let (tell, failed) = oneshot::channel();
        let waiting = Arc::new(AtomicBool::new(false));
        let upload = Upload { failed, waiting: waiting.clone() };
        let body = ClientBody { body, left: limits.size, limits, timer: None, waiting, failed: Some(tell) };
        (Self::Client(Box::new(body)), upload)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Client(_) => "Client",
        })
    }
}

impl ClientBody {
    fn fail(&mut self, why: BodyFailure) -> Error {
        if let Some(tell) = self.failed.take() {
            let _ = tell.send(why);
        }
        match why {
            BodyFailure::TooLarge => Error::HttpRequestBodySize(self.limits.size),
            BodyFailure::TooSlow => Error::ConnectionReadTimeout,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.failed.is_none() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.poll_timer(cx));
            return Poll::Ready(Some(Err(self.fail(BodyFailure::TooSlow))));
        };
        self.waiting.store(false, Relaxed);
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        };
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Some(Err(self.fail(BodyFailure::TooLarge)))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Ready when the guest has waited for too long.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limits.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.waiting.swap(true, Relaxed) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

impl Drop for ClientBody {
    /// A guest that has dropped it waits for something else.
    fn drop(&mut self) {
        self.waiting.store(false, Relaxed);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn};

    use http::{Request, Response};
    use http_body_util::Empty;
    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncWriteExt as _, duplex},
        sync::mpsc,
    };

    use super::*;

    /// A body of which three of ten bytes have come.
    async fn begun() -> Incoming {
        let (mut client, server) = duplex(1024);
        client.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
        let (to, mut bodies) = mpsc::unbounded_channel();
        let service = service_fn(move |request: Request<Incoming>| {
            to.send(request.into_body()).unwrap();
            std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
        });
        tokio::spawn(async move {
            // Kept: the client has not gone.
            let _client = client;
            http1::Builder::new().serve_connection(TokioIo::new(server), service).await
        });
        bodies.recv().await.unwrap()
    }

    /// Is it ready?
    async fn polled(body: &mut RequestBody) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx).is_ready())).await
    }

    #[tokio::test]
    async fn it_is_awaited_while_the_guest_waits_for_it() {
        let limits = BodyLimits { size: None, timeout: Duration::from_secs(60) };
        let (mut body, upload) = RequestBody::of_client(begun().await, limits);
        assert!(!upload.is_awaited(), "nobody has read yet");
        let first = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(!upload.is_awaited());
        assert!(!polled(&mut body).await);
        assert!(upload.is_awaited());
        drop(body);
        assert!(!upload.is_awaited(), "the guest has dropped it, and waits for something else");
    }
}
