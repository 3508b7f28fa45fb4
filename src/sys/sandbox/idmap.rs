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

use crate::sys::clone::fork;

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
    let id = fork(libc::CLONE_NEWUSER, ptr::null_mut(), || {
        // SAFETY: takes numbers only.
        unsafe { libc::close(ours) };
        let mut byte = [0u8];
        // SAFETY: as much as there is room for. It returns when the other end is closed, too.
        unsafe { libc::read(theirs, byte.as_mut_ptr().cast(), 1) };
        // SAFETY: ends the process at once, without what is its parent's to do.
        unsafe { libc::_exit(0) }
    })?;
    libc::pid_t::try_from(id).map_err(io::Error::other)
}
