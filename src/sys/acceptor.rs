//! Accepting on a listener without Tokio's own stream: what is accepted goes to another process, and
//! need not be registered here. The master's `listeners` owns one per app.

use std::{
    io,
    net::{TcpListener, TcpStream},
};

use tokio::io::{Interest, unix::AsyncFd};

/// A listener whose readiness Tokio knows.
#[derive(Debug)]
pub struct Acceptor(AsyncFd<TcpListener>);

impl Acceptor {
    /// The listener must be nonblocking.
    ///
    /// # Errors
    /// The system's own. To be called in a Tokio runtime.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        // SAFETY: the listener moves in and is never replaced, so the fd is open and the same for as
        // long as it is registered.
        Ok(Self(unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }?))
    }

    /// Waits until there may be a connection.
    ///
    /// # Errors
    /// The runtime is going away.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(|mut ready| ready.retain_ready())
    }

    /// Accepts a connection, close-on-exec and blocking. An empty backlog is remembered, so that
    /// [`Self::readable`] waits for the next one.
    ///
    /// # Errors
    /// `WouldBlock` when there is none that Tokio has heard of, and the system's own.
    pub fn try_accept(&self) -> io::Result<TcpStream> {
        self.0.try_io(Interest::READABLE, TcpListener::accept).map(|(stream, _)| stream)
    }

    /// As [`Self::try_accept`], but asks the system in any case.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, and the system's own.
    pub fn accept_now(&self) -> io::Result<TcpStream> {
        self.0.get_ref().accept().map(|(stream, _)| stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn waits_again_when_the_backlog_is_empty() {
        let deadline = Duration::from_secs(10);
        let listener = crate::sys::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(listener).unwrap();
        for _ in 0..3 {
            let _client = TcpStream::connect(address).unwrap();
            timeout(deadline, acceptor.readable()).await.unwrap().unwrap();
            acceptor.try_accept().unwrap();
            assert_eq!(acceptor.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!(timeout(Duration::from_millis(5), acceptor.readable()).await.is_err());
        }
        let _client = TcpStream::connect(address).unwrap();
        acceptor.accept_now().unwrap();
    }
}
