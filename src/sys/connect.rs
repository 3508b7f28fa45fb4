//! Connecting to another host, for who hands the connection on. `broker::dial` calls it.
//!
//! The receiver of a connection may be hostile, and must not be able to make another one of it. Who connects
//! without waiting never asks how it went, and for such a socket the kernel has no word that it is connected:
//! once the other side has reset it, `sendto` with MSG_FASTOPEN connects it anew, to any address, past
//! seccomp and Landlock. A second `connect` is the question, and settles it for good.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::sys::socket::{self, SockaddrStorage};
use tokio::net::TcpStream;

/// A connection to there, and never to anywhere else.
///
/// # Errors
/// The system's own. To be called in a Tokio runtime.
pub async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    settle(&stream, to)?;
    Ok(stream)
}

fn settle(stream: &impl AsFd, to: SocketAddr) -> io::Result<()> {
    Ok(socket::connect(stream.as_fd().as_raw_fd(), &SockaddrStorage::from(to))?)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::RawFd, time::Duration};

    use nix::{errno::Errno, libc, sys::socket::MsgFlags};
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Far more than any of these takes.
    const DEADLINE: Duration = Duration::from_secs(10);

    fn fast_open() -> MsgFlags {
        MsgFlags::from_bits_retain(libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    }

    /// Both ends of a connection that the server resets, and what it then says to the client's end.
    async fn reset(settled: bool) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let stream = if settled { connect(to).await } else { TcpStream::connect(to).await }.unwrap();
        let (server, _) = listener.accept().unwrap();
        drop(server);
        // What comes after the end of the other side is answered by RST.
        stream.writable().await.unwrap();
        let end = Instant::now() + DEADLINE;
        while stream.try_write(b"x").is_ok() {
            assert!(Instant::now() < end, "no reset");
            sleep(Duration::from_millis(1)).await;
        }
        stream
    }

    /// What an escaped guest does with it. Does the other listener get a connection?
    fn leads_elsewhere(fd: RawFd) -> bool {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let to = SockaddrStorage::from(other.local_addr().unwrap());
        for _ in 0..3 {
            if socket::sendto(fd, b"x", &to, fast_open()) == Err(Errno::EISCONN) {
                return false;
            }
        }
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            other.accept().is_ok()
        })
    }

    #[tokio::test]
    async fn it_leads_nowhere_else_when_it_is_reset() {
        let stream = reset(true).await;
        assert!(!leads_elsewhere(stream.as_fd().as_raw_fd()));
        // Else the kernel does not do what this is for, and the test shows nothing.
        let stream = reset(false).await;
        assert!(leads_elsewhere(stream.as_fd().as_raw_fd()), "an unsettled one would");
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(connect(free).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
