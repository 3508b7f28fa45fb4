//! One `recvmsg`, with every fd that came owned at once.
//!
//! `nix` gives up on a message whose control part is cut, and leaks the fds that did come; the
//! kernel cuts it when this process has no numbers free. So this reads the control part itself.
//! Only [`super::fd_socket`] calls it.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::libc;

/// The most fds that the kernel passes with one message, its `SCM_MAX_FD`.
const MAX_FDS: usize = 253;

/// Room for all of them and a header, in words, which aligns it for `cmsghdr`.
const CONTROL_WORDS: usize = (MAX_FDS * size_of::<RawFd>() + size_of::<libc::cmsghdr>()).div_ceil(8) + 1;

/// What came.
pub(super) struct Packet {
    /// Bytes, 0 at the end.
    pub(super) length: usize,
    /// In the order in which they were sent.
    pub(super) fds: Vec<OwnedFd>,
    /// Bytes were lost, or fds beside those that came.
    pub(super) truncated: bool,
}

/// Reads one packet, or `WouldBlock`.
pub(super) fn recv_packet(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Packet> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: `msghdr` is plain integers and pointers, for which zero is valid.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    let length = loop {
        header.msg_controllen = size_of_val(&control);
        // SAFETY: the header points to `iov`, which points to `buf`, and to `control`, each with its
        // true length; all of them live and are borrowed by nobody else during the call.
        let length = unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT)
        };
        if let Ok(length) = usize::try_from(length) {
            break length;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // A peer that ended before it read all of ours says so once, before what it has sent
            // itself; that is still to be read, and then the end.
            Some(libc::EINTR | libc::ECONNRESET) => {}
            _ => return Err(error),
        }
    };
    let fds = take_fds(&header);
    let bytes_lost = header.msg_flags & libc::MSG_TRUNC != 0;
    let fds_lost = header.msg_flags & libc::MSG_CTRUNC != 0 && !fds.is_empty();
    Ok(Packet { length, fds, truncated: bytes_lost || fds_lost })
}

/// Owns the fds in the control part that the kernel has just filled.
fn take_fds(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: `recvmsg` succeeded on this header, so its control part is as long as it says.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or a whole and aligned header within the control part, which lives.
    while let Some(message) = unsafe { next.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: computes an address within the message.
            let data: *const RawFd = unsafe { libc::CMSG_DATA(next) }.cast();
            // SAFETY: computes a number.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            for index in 0..(message.cmsg_len - head) / size_of::<RawFd>() {
                // SAFETY: within the data, whose length the kernel has set to what it wrote.
                let raw = unsafe { ptr::read_unaligned(data.wrapping_add(index)) };
                // SAFETY: the kernel has just opened it for us, and nobody else knows it.
                fds.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        // SAFETY: as for the first one; `next` is within this header's control part.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    fds
}

#[cfg(test)]
mod tests {
    use std::{fs, io::IoSlice, os::fd::AsFd, process::Command};

    use nix::sys::{
        resource::{Resource, setrlimit},
        socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair},
    };

    use super::*;

    /// The limit is the whole process's, so this runs in one of its own.
    #[test]
    fn a_process_without_free_numbers_leaks_none() {
        let test = "sys::recv_fds::tests::takes_what_fits_and_says_that_more_came";
        let run = Command::new("/proc/self/exe").args([test, "--exact", "--ignored"]).output().unwrap();
        let output = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && output.contains("1 passed"), "{output}");
    }

    #[test]
    #[ignore = "lowers the limit of its process"]
    fn takes_what_fits_and_says_that_more_came() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let fds = [theirs.as_raw_fd(); 3];
        let control = [ControlMessage::ScmRights(&fds)];
        for _ in 0..3 {
            sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(b"x")], &control, MsgFlags::empty(), None)
                .unwrap();
        }

        // Two numbers stay free: fill the holes, and free the last two of them again.
        let mut fill: Vec<_> = (0..20).map(|_| theirs.try_clone().unwrap()).collect();
        let limit = fill.iter().map(AsRawFd::as_raw_fd).max().unwrap() + 1;
        fill.truncate(18);
        setrlimit(Resource::RLIMIT_NOFILE, limit as u64, limit as u64).unwrap();

        for _ in 0..2 {
            let packet = recv_packet(ours.as_fd(), &mut [0; 8]).unwrap();
            assert_eq!((packet.length, packet.fds.len(), packet.truncated), (1, 2, true));
            // Dropped here: if they leaked, the second round would get none.
        }
        let _plugs = [theirs.try_clone().unwrap(), theirs.try_clone().unwrap()];
        assert!(fs::File::open("/dev/null").is_err());
        let packet = recv_packet(ours.as_fd(), &mut [0; 8]).unwrap();
        assert_eq!((packet.length, packet.fds.len(), packet.truncated), (1, 0, false));
    }
}
