//! Makes an fd nonblocking, by `fcntl`. Std's own way is an `ioctl` that takes a pointer, which seccomp can't
//! look at, and does not allow where another process relies on it (`sandbox::seccomp`).

use std::{io, os::fd::AsFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// From now on, for all who have it.
///
/// # Errors
/// The system's own.
pub fn set(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    if !flags.contains(OFlag::O_NONBLOCK) {
        fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_does_not_wait() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for _ in 0..2 {
            set(&listener).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }
}
