//! A socket that carries packets, and with a packet at most one fd.
//!
//! The master hands connections to workers on it (`ipc::handoff`), and a compiler gives back what it
//! made. The peer runs our code next to a guest, so what comes is hostile until checked: a packet
//! with more than one fd, or longer than the buffer, is an error, and every fd that came is closed.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{self, AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    nonblocking,
    recv_fds::{Packet, recv_packet},
};

/// One end, nonblocking and close-on-exec.
#[derive(Debug)]
pub struct FdSocket(AsyncFd<OwnedFd>);

impl FdSocket {
    /// A new pair: this end, and the one to give to a child, which takes it with [`Self::from_fd`].
    ///
    /// # Errors
    /// The system's own. To be called in a Tokio runtime.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = Self::unused_pair()?;
        Ok((Self(register(ours)?), theirs))
    }

    /// A new pair, of which both ends are to be given away.
    ///
    /// # Errors
    /// The system's own.
    pub fn unused_pair() -> io::Result<(OwnedFd, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        Ok(socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
    }

    /// The end that a parent gave.
    ///
    /// # Errors
    /// The system's own. To be called in a Tokio runtime.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        nonblocking::set(&fd)?;
        Ok(Self(register(fd)?))
    }

    /// Sends a packet, and waits while the peer's queue is full. The caller bounds the wait. The
    /// caller's fd stays open; the peer gets a copy.
    ///
    /// # Errors
    /// `BrokenPipe` when the peer is gone; `InvalidInput` for an empty packet, which would read as
    /// the end; else the system's own.
    pub async fn send(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |socket| send_packet(socket, bytes, fd)).await
    }

    /// As [`Self::send`], but never waits.
    ///
    /// # Errors
    /// `WouldBlock` when the peer's queue is full, and as `send`.
    pub fn try_send(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        send_packet(self.0.get_ref(), bytes, fd)
    }

    /// Waits for a packet: its length in `buf` and its fd, close-on-exec. None when the peer is
    /// gone and everything that it sent has been read. Dropping the future loses nothing.
    ///
    /// A packet whose fd this process has no number free for comes without it, so that the caller
    /// can still say to whom the packet belongs that it failed.
    ///
    /// # Errors
    /// `InvalidData` for a packet that is longer than `buf` or has more than one fd, both lost;
    /// else the system's own.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
        let packet = self.0.async_io(Interest::READABLE, |socket| recv_packet(socket.as_fd(), buf)).await?;
        checked(packet, buf.len())
    }

    /// As [`Self::recv`], but asks the system and does not wait: for what a peer that is gone has left.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else as [`Self::recv`].
    pub fn recv_now(&self, buf: &mut [u8]) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
        let packet = recv_packet(self.0.get_ref().as_fd(), buf)?;
        checked(packet, buf.len())
    }
}

fn checked(packet: Packet, room: usize) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
    let Packet { length, mut fds, truncated } = packet;
    let fd = fds.pop();
    if truncated || !fds.is_empty() {
        let what = format!("a packet with more than one fd, or more than {room} bytes");
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    } else if length == 0 {
        Ok(None)
    } else {
        Ok(Some((length, fd)))
    }
}

fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `OwnedFd` moves in and is never replaced, so the fd is open and the same for as long
    // as it is registered.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

fn send_packet(socket: &OwnedFd, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a packet must not be empty"));
    }
    let raw = fd.map(|fd| [fd.as_raw_fd()]);
    let control = raw.as_ref().map(|fds| ControlMessage::ScmRights(fds));
    loop {
        let iov = [io::IoSlice::new(bytes)];
        match socket::sendmsg::<()>(
            socket.as_raw_fd(),
            &iov,
            control.as_slice(),
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::{Read, Seek, Write},
        time::Duration,
    };

    use nix::fcntl::{FcntlArg, fcntl};
    use tokio::time::timeout;

    use super::*;

    /// Far more than any of these takes.
    const DEADLINE: Duration = Duration::from_secs(10);

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    }

    /// How many fds of this process are that file. Other tests open and close their own meanwhile.
    fn open_copies(file: &File) -> usize {
        let link = |path: std::path::PathBuf| fs::read_link(path).ok();
        let ours = link(format!("/proc/self/fd/{}", file.as_raw_fd()).into());
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter(|entry| link(entry.as_ref().unwrap().path()) == ours)
            .count()
    }

    async fn recv(socket: &FdSocket, buf: &mut [u8]) -> io::Result<Option<(usize, Option<OwnedFd>)>> {
        timeout(DEADLINE, socket.recv(buf)).await.expect("a packet in time")
    }

    #[tokio::test]
    async fn packets_keep_their_borders_and_fds() {
        let (ours, theirs) = FdSocket::pair().unwrap();
        let theirs = FdSocket::from_fd(theirs).unwrap();
        ours.send(b"one", None).await.unwrap();
        ours.send(b"second", Some(file("text").as_fd())).await.unwrap();
        drop(ours);

        let mut buf = [0; 64];
        let (length, fd) = recv(&theirs, &mut buf).await.unwrap().unwrap();
        assert_eq!((&buf[..length], fd.is_none()), (&b"one"[..], true));
        let (length, fd) = recv(&theirs, &mut buf).await.unwrap().unwrap();
        assert_eq!(&buf[..length], b"second");
        let fd = fd.unwrap();
        assert_ne!(fcntl(&fd, FcntlArg::F_GETFD).unwrap() & nix::libc::FD_CLOEXEC, 0);
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert!(recv(&theirs, &mut buf).await.unwrap().is_none());
        assert_eq!(theirs.send(b"late", None).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn waits_for_room_and_for_packets() {
        let (ours, theirs) = FdSocket::pair().unwrap();
        let theirs = FdSocket::from_fd(theirs).unwrap();
        let mut sent = 0_u32;
        while ours.try_send(&sent.to_le_bytes(), None).is_ok() {
            sent += 1;
        }
        assert_eq!(ours.try_send(b"x", None).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(timeout(Duration::from_millis(20), ours.send(b"more", None)).await.is_err());

        let mut buf = [0; 64];
        let (last, ()) = tokio::join!(ours.send(b"last", None), async {
            for number in 0..sent {
                let (length, _) = recv(&theirs, &mut buf).await.unwrap().unwrap();
                assert_eq!(&buf[..length], number.to_le_bytes());
            }
            recv(&theirs, &mut buf).await.unwrap().unwrap();
        });
        last.unwrap();
        assert_eq!(&buf[..4], b"last");
    }

    #[tokio::test]
    async fn two_fds_are_an_error_and_closed() {
        let (ours, theirs) = FdSocket::pair().unwrap();
        let file = file("");
        let fds = [file.as_raw_fd(); 2];
        let control = [ControlMessage::ScmRights(&fds)];
        let iov = [io::IoSlice::new(b"x")];
        socket::sendmsg::<()>(theirs.as_raw_fd(), &iov, &control, MsgFlags::empty(), None).unwrap();
        socket::sendmsg::<()>(theirs.as_raw_fd(), &iov, &[], MsgFlags::empty(), None).unwrap();

        let mut buf = [0; 64];
        assert_eq!(recv(&ours, &mut buf).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(open_copies(&file), 1);
        assert_eq!(recv(&ours, &mut buf).await.unwrap().unwrap().0, 1);
    }

    #[tokio::test]
    async fn as_many_fds_as_the_kernel_passes_are_closed() {
        let (ours, theirs) = FdSocket::pair().unwrap();
        let file = file("");
        let fds = [file.as_raw_fd(); 253];
        let iov = [io::IoSlice::new(b"x")];
        let control = [ControlMessage::ScmRights(&fds)];
        socket::sendmsg::<()>(theirs.as_raw_fd(), &iov, &control, MsgFlags::empty(), None).unwrap();

        assert_eq!(recv(&ours, &mut [0; 64]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(open_copies(&file), 1);
    }

    #[tokio::test]
    async fn too_long_a_packet_is_an_error_and_its_fd_closed() {
        let (ours, theirs) = FdSocket::pair().unwrap();
        let theirs = FdSocket::from_fd(theirs).unwrap();
        let file = file("");
        theirs.send(&[0; 65], Some(file.as_fd())).await.unwrap();
        assert_eq!(recv(&ours, &mut [0; 64]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(open_copies(&file), 1);
    }

    #[tokio::test]
    async fn what_a_peer_sent_before_it_died_is_read_though_it_left_ours_unread() {
        let (ours, theirs) = FdSocket::pair().unwrap();
        let theirs = FdSocket::from_fd(theirs).unwrap();
        ours.send(b"unread", None).await.unwrap();
        theirs.send(b"last words", None).await.unwrap();
        drop(theirs);

        let mut buf = [0; 64];
        let (length, _) = recv(&ours, &mut buf).await.unwrap().unwrap();
        assert_eq!(&buf[..length], b"last words");
        assert!(recv(&ours, &mut buf).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_empty_packet_is_refused() {
        let (ours, _theirs) = FdSocket::pair().unwrap();
        assert_eq!(ours.send(b"", None).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
