//! A client's TCP stream as hyper sees it: with bounds on what hyper does not bound.
//!
//! - Its first bytes, from which it is told which HTTP it speaks, come within `header-timeout`.
//! - A client that takes nothing of what is written to it for `write-timeout` is given up.
//! - A head that says two things about its body's length is refused (`framing`).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::{framing::Framing, service::Service};
use crate::cluster::Limit;

/// What hyper waits for as long as it still may come: HTTP/2's preface.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why a client is given up that does not read.
pub(super) const NOT_READ: &str = "the client has not read for as long as `write-timeout`";

/// How slow a client may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// With a request's head.
    pub(super) header: Duration,
    /// With taking something of what is written.
    pub(super) write: Duration,
}

/// What others are to know of a stream.
#[derive(Clone)]
pub(super) struct Watch {
    /// Who counts.
    pub(super) service: Arc<Service>,
    /// A part of a head has come, and no more.
    pub(super) in_head: Arc<AtomicBool>,
}

/// One client's.
pub(super) struct Stream {
    tcp: TcpStream,
    patience: Patience,
    watch: Watch,
    framing: Framing,
    /// What is to come of the preface; none when it is there, or something else is.
    preface: &'static [u8],
    /// While the preface may still come.
    opening: Option<Pin<Box<Sleep>>>,
    /// While the client takes nothing.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, patience: Patience, watch: Watch) -> Self {
        Self { tcp, patience, watch, framing: Framing::new(), preface: PREFACE, opening: None, writing: None }
    }

    /// The connection's next bytes.
    fn opened(&mut self, bytes: &[u8]) {
        let seen = bytes.len().min(self.preface.len());
        let (next, rest) = self.preface.split_at(seen);
        self.preface = if next == &bytes[..seen] { rest } else { &[] };
        if self.preface.is_empty() {
            self.opening = None;
        }
    }

    /// After a write: how long it has been so?
    fn bounded(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.writing = None;
            return wrote;
        }
        let limit = self.patience.write;
        ready!(self.writing.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        self.watch.service.hit(Limit::WriteTimeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, NOT_READ)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.tcp).poll_read(cx, buf) {
            read?;
            let new = &mut buf.filled_mut()[before..];
            this.framing.look(new);
            this.watch.in_head.store(this.framing.is_in_head(), Relaxed);
            if !this.preface.is_empty() {
                this.opened(&buf.filled()[before..]);
            }
            return Poll::Ready(Ok(()));
        }
        if !this.preface.is_empty() {
            let limit = this.patience.header;
            ready!(this.opening.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
            this.watch.service.hit(Limit::HeaderTimeout);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client has sent no request within `header-timeout`",
            )));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.tcp).poll_write(cx, bytes);
        this.bounded(cx, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.tcp).poll_write_vectored(cx, parts);
        this.bounded(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
