//! A process that was started here: waited for and killed by its pidfd, which never means another one.
//!
//! [`super::spawn`] makes them, the master's tasks wait for them. One waiter each.

use std::{
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    process::ExitStatus,
};

use nix::libc;
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
};

use super::{point, sandbox::signals};

/// Dropped, it is killed, and reaped when it is gone.
#[derive(Debug)]
pub struct Child {
    id: u32,
    /// `None` once it is handed on to be reaped.
    pidfd: Option<AsyncFd<OwnedFd>>,
    ended: Option<ExitStatus>,
    /// Its exit code may stand for a signal.
    first: First,
}

/// Is it the first process of its pid namespace? To such a one the kernel sends no signal that it has no
/// handler for, so its handlers end it with a code for the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// It is.
    Yes,
    /// It is one as any other.
    No,
}

impl Child {
    /// To be called within a Tokio runtime.
    pub(super) fn new(id: u32, pidfd: OwnedFd, first: First) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is open, and the same one, as long as it lives.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        let pidfd = pidfd.map_err(io::Error::from)?;
        Ok(Self { id, pidfd: Some(pidfd), ended: None, first })
    }

    /// The OS pid. `None` when it is reaped: then it may be another's.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.ended.is_none().then_some(self.id)
    }

    /// Waits for its end, and reaps it. Again, it says the same.
    ///
    /// # Errors
    /// The system's own.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let pidfd = self.pidfd.as_ref().ok_or_else(|| io::Error::other("it is waited for elsewhere"))?;
        let status = wait(pidfd).await?;
        let status = match self.first {
            First::Yes => signals::meant(status),
            First::No => status,
        };
        point::passed(status);
        self.ended = Some(status);
        Ok(status)
    }

    /// SIGKILL, if it is still there.
    ///
    /// # Errors
    /// The system's own.
    pub fn start_kill(&mut self) -> io::Result<()> {
        match (&self.ended, &self.pidfd) {
            (None, Some(pidfd)) => kill(pidfd.get_ref().as_fd()),
            _ => Ok(()),
        }
    }

    /// SIGKILL, and the wait.
    ///
    /// # Errors
    /// The system's own.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// One that a test started otherwise.
    #[cfg(test)]
    pub(crate) fn of(child: &std::process::Child) -> io::Result<Self> {
        let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just made it, and nobody else knows it.
        let fd = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
        Self::new(child.id(), fd, First::No)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let _ = self.start_kill();
        // It may take a while to end, and without a runtime this process is about to end itself.
        if let (Some(pidfd), Ok(runtime)) = (self.pidfd.take(), Handle::try_current()) {
            runtime.spawn(async move { wait(&pidfd).await });
        }
    }
}

async fn wait(pidfd: &AsyncFd<OwnedFd>) -> io::Result<ExitStatus> {
    loop {
        let mut ready = pidfd.readable().await?;
        match reap(pidfd.get_ref().as_fd())? {
            Some(status) => return Ok(status),
            None => ready.clear_ready(),
        }
    }
}

fn kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the fd is open, and no information goes with the signal.
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, none, 0) };
    match done {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            gone if gone.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        },
    }
}

/// `None`: it is still there.
pub(super) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: the fd is open, and `info` is as large as the call fills in.
    let done = unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), libc::WEXITED | libc::WNOHANG) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeros is a value of it, and the call has written over that or not.
    let info = unsafe { info.assume_init() };
    // SAFETY: the field is there after waitid; 0 where nothing has ended.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(ExitStatus::from_raw(match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    })))
}
