//! User namespaces that no process is in: they say which owner on the disk is which user in a mount.
//!
//! `hand` asks for them. Each is made by a process that waits until its namespace has its maps, and ends; it is
//! kept, since each process of an app wants the same.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    ptr,
    sync::{Arc, Mutex, PoisonError},
};

use nix::{
    errno::Errno,
    libc,
    sys::wait::{WaitPidFlag, waitpid},
    unistd::Pid,
};

/// The most that are kept: about one for each app.
const MAX_KEPT: usize = 64;

/// Who is whom: user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Map {
    /// On the disk.
    pub(super) from: (u32, u32),
    /// Of the processes.
    pub(super) to: (u32, u32),
}

static KEPT: Mutex<BTreeMap<Map, Arc<OwnedFd>>> = Mutex::new(BTreeMap::new());

/// The namespace of this map.
///
/// # Errors
/// The system's own: not every master may make one.
pub(super) fn namespace(map: Map) -> io::Result<Arc<OwnedFd>> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(namespace) = kept.get(&map) {
        return Ok(Arc::clone(namespace));
    }
    let namespace = Arc::new(make(map)?);
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(map, Arc::clone(&namespace));
    Ok(namespace)
}

fn make(map: Map) -> io::Result<OwnedFd> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let id = waiting(&ours, &theirs)?;
    drop(theirs);
    let made = (|| {
        let process = format!("/proc/{id}");
        let ((user, group), (as_user, as_group)) = (map.from, map.to);
        fs::write(format!("{process}/gid_map"), format!("{group} {as_group} 1"))?;
        fs::write(format!("{process}/uid_map"), format!("{user} {as_user} 1"))?;
        File::open(format!("{process}/ns/user"))
    })();
    // It ends by that, or by ours being closed.
    let _ = ours.write_all(&[0]);
    drop(ours);
    while waitpid(Pid::from_raw(id), Some(WaitPidFlag::__WALL)) == Err(Errno::EINTR) {}
    made.map(OwnedFd::from)
}

/// A process in a user namespace of its own, which does nothing until it is told to, and ends then.
fn waiting(ours: &UnixStream, theirs: &UnixStream) -> io::Result<libc::pid_t> {
    let (ours, theirs) = (ours.as_raw_fd(), theirs.as_raw_fd());
    let flags = libc::c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written, not read.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // Handlers of this process's must not run in the other.
    // SAFETY: the first set was just filled, the second is written.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let none: libc::c_long = 0;
    // SAFETY: this is fork: the child has a copy of all memory and goes on with its copy of this stack.
    let id = unsafe { libc::syscall(libc::SYS_clone, flags, ptr::null::<()>(), none, none, none) };
    if id == 0 {
        // SAFETY: takes numbers only.
        unsafe { libc::close(ours) };
        let mut byte = [0u8];
        // SAFETY: as much as there is room for. It returns when the other end is closed, too.
        unsafe { libc::read(theirs, byte.as_mut_ptr().cast(), 1) };
        // SAFETY: ends the process at once, without what is its parent's to do.
        unsafe { libc::_exit(0) };
    }
    let error = io::Error::last_os_error();
    // SAFETY: the set was filled in by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    libc::pid_t::try_from(id).ok().filter(|id| *id > 0).ok_or(error)
}
