//! One read of a stream socket that tells of fds, and takes none.
//!
//! A child could send fds with its bytes. A plain `read` throws them away and says nothing; this one says
//! so, so that who sent them can be killed. `ipc::link` reads with it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    ptr,
};

use bytes::{BufMut, BytesMut};
use nix::libc;

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Got {
    /// Bytes, appended to the buffer; 0 at the end.
    pub bytes: usize,
    /// There were fds with them. The kernel has closed them.
    pub fds: bool,
}

/// Reads once, at most so many bytes and no more than the buffer has room for, and never waits.
///
/// # Errors
/// `WouldBlock` when there is nothing; else the system's own.
pub fn read(socket: impl AsFd, buf: &mut BytesMut, most: usize) -> io::Result<Got> {
    let room = buf.spare_capacity_mut();
    let mut iov = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len().min(most) };
    loop {
        let mut header = libc::msghdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: &raw mut iov,
            msg_iovlen: 1,
            // No room for fds: the kernel opens none here, and says that there were some.
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        };
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the header points to `iov`, which points to the buffer's spare room with no more than its
        // true length; both live and are borrowed by nobody else during the call.
        let got = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
        let Ok(bytes) = usize::try_from(got) else {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        };
        // SAFETY: the kernel has just written so many bytes there.
        unsafe { buf.advance_mut(bytes) };
        return Ok(Got { bytes, fds: header.msg_flags & libc::MSG_CTRUNC != 0 });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{IoSlice, Write as _},
        os::unix::net::UnixStream,
    };

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    fn got(bytes: usize, fds: bool) -> Got {
        Got { bytes, fds }
    }

    #[test]
    fn reads_no_more_than_it_may_and_then_the_end() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let mut buf = BytesMut::with_capacity(64);
        assert_eq!(read(&ours, &mut buf, 64).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        theirs.write_all(&[7; 100]).unwrap();
        drop(theirs);
        assert_eq!(read(&ours, &mut buf, 10).unwrap(), got(10, false));
        let room = buf.capacity() - buf.len();
        assert_eq!(read(&ours, &mut buf, 1000).unwrap(), got(room.min(90), false));
        buf.reserve(100);
        read(&ours, &mut buf, 1000).unwrap();
        assert_eq!(read(&ours, &mut buf, 1000).unwrap(), got(0, false));
        assert_eq!(buf[..], [7; 100]);
    }

    #[test]
    fn tells_of_fds_and_opens_none() {
        for number in [1, 253] {
            let (theirs, ours) = UnixStream::pair().unwrap();
            let sent = tempfile::tempfile().unwrap();
            let link = |fd: &str| fs::read_link(format!("/proc/self/fd/{fd}")).ok();
            let file = link(&sent.as_raw_fd().to_string());
            let copies = || {
                let fds = fs::read_dir("/proc/self/fd").unwrap();
                fds.filter(|fd| link(&fd.as_ref().unwrap().file_name().to_string_lossy()) == file).count()
            };
            let fds = vec![sent.as_raw_fd(); number];
            let control = [ControlMessage::ScmRights(&fds)];
            sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(b"x")], &control, MsgFlags::empty(), None)
                .unwrap();
            let mut buf = BytesMut::with_capacity(64);
            assert_eq!(read(&ours, &mut buf, 64).unwrap(), got(1, true));
            assert_eq!(copies(), 1, "{number} fds were sent");
        }
    }
}
