//! HTTP/1.1 by hand: one blocking keep-alive connection, which knows what has been written and whether
//! the other end has closed. For clients whose times and failures are counted exactly.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use super::DEADLINE;

/// The most bytes of an answer.
const MAX_ANSWER: usize = 4096;

/// What an error begins with where there is an answer.
pub(super) const NO_200: &str = "no 200";

/// A connection that is open, as far as is known.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self(stream))
    }

    /// Has the other end closed it, or sent what nobody asked for? Nothing may be under way.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let seen = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        !seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Asks, and gives the whole answer, which is a 200. The error says what came instead.
    pub(crate) fn ask(&mut self, path: &str) -> io::Result<String> {
        write!(self.0, "GET {path} HTTP/1.1\r\nhost: good\r\n\r\n")?;
        let (mut answer, mut length) = ([0; MAX_ANSWER], 0);
        loop {
            let more = self.0.read(&mut answer[length..])?;
            length += more;
            let text = String::from_utf8_lossy(&answer[..length]);
            if more == 0 {
                return Err(io::Error::other(format!("closed after {text:?}")));
            }
            if is_whole(&text) {
                return if text.starts_with("HTTP/1.1 200 OK\r\n") {
                    Ok(text.into_owned())
                } else {
                    Err(io::Error::other(format!("{NO_200}: {text:?}")))
                };
            }
        }
    }
}

/// Whether it is of known length or in chunks.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => body.len() == length.parse::<usize>().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}
