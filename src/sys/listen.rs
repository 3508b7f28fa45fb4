//! Binding a listener. The master does it, and keeps the listener for as long as the app lives.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use nix::sys::socket::{self, Backlog};

/// Connections that the kernel holds until they are accepted, if `net.core.somaxconn` allows it.
/// std's 128 overflows in a burst, and then clients wait a second for their SYN to be sent again.
pub const BACKLOG: i32 = 4096;

/// Binds and listens: nonblocking, close-on-exec, `SO_REUSEADDR` (connections of a former master
/// that still linger must not stop a new one). Port 0 takes any free one.
///
/// # Errors
/// The system's own; the caller names the address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // std sets the other two. Listening again only raises the backlog.
    socket::listen(&listener, Backlog::new(BACKLOG)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepts_on_a_free_port() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = bind(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn holds_more_than_std_would() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..300 {
            clients
                .push(TcpStream::connect_timeout(&address, std::time::Duration::from_millis(900)).unwrap());
        }
        let accepted = std::iter::from_fn(|| listener.accept().ok()).count();
        assert_eq!(accepted, clients.len());
    }
}
