//! A guest's standard output and error: whole lines into the process's log.
//!
//! Bounded: a line is cut at [`MAX_LINE`]. The log makes it harmless to look at.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::log::{GUEST_STDERR, GUEST_STDOUT, split};

/// The longest line, in bytes; a longer one continues as a new line.
pub(super) const MAX_LINE: usize = 8 * 1024;

/// What a guest may write in one call, in bytes.
const PERMIT: usize = 64 * 1024;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One of an instance's two outputs. Clones share the line that is not yet complete.
#[derive(Clone)]
pub(super) struct Output {
    stream: Stream,
    line: Arc<Mutex<Vec<u8>>>,
}

impl Output {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, line: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        split(&mut line, bytes, MAX_LINE, |text| self.emit(text));
    }

    fn emit(&self, line: &[u8]) {
        let text = text(line);
        match self.stream {
            Stream::Stdout => tracing::info!(target: GUEST_STDOUT, "{text}"),
            Stream::Stderr => tracing::info!(target: GUEST_STDERR, "{text}"),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The last clone writes what has no newline.
        if Arc::strong_count(&self.line) == 1 {
            let line = std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner));
            if !line.is_empty() {
                self.emit(&line);
            }
        }
    }
}

/// The line as text, what is not UTF-8 replaced.
fn text(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: &[&[u8]]) -> (Vec<String>, usize) {
        let mut open = Vec::new();
        let mut out = Vec::new();
        for bytes in writes {
            split(&mut open, bytes, MAX_LINE, |line| out.push(text(line).into_owned()));
        }
        (out, open.len())
    }

    #[test]
    fn lines_come_whole() {
        assert_eq!(lines(&[b"one\ntw", b"o\n\nthr"]), (vec!["one".into(), "two".into(), String::new()], 3));
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = vec![b'x'; MAX_LINE * 2 + 1];
        let (out, open) = lines(&[&long, b"\n"]);
        assert_eq!(out.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE, 1]);
        assert_eq!(open, 0);
    }

    #[test]
    fn what_is_not_utf_8_is_replaced() {
        assert_eq!(lines(&[b"\xff\r\n"]).0, ["\u{fffd}"]);
    }
}
