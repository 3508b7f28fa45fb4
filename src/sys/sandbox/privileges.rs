//! What a process may do beyond its user: nothing, for good.

use std::io;

use nix::{
    errno::Errno,
    libc,
    sys::{prctl, signal::Signal},
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

/// From now on it is this user, for good, and in this group alone.
pub(super) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    // Another user has no such request.
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// A program that it runs gets no rights by that.
pub(super) fn no_new() -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

/// Nobody of the same user may trace it or read its memory, and it leaves no core.
pub(super) fn not_dumpable() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// As the kernel has it in linux/capability.h, version 3.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Of `PR_SET_SECUREBITS`: root has no capabilities by being root, changing users changes none, none
/// become ambient; and all that is locked.
const SECURE_BITS: libc::c_ulong = 0b1110_1111;

/// Gives up all capabilities, and the ways to get one.
pub(super) fn drop_all() -> io::Result<()> {
    let number = |value: libc::c_int| libc::c_ulong::try_from(value).unwrap_or_default();
    let none: libc::c_ulong = 0;
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS, none, none, none) };
    // Until there are no more: EINVAL. A process that has none can't, and needs not.
    for capability in 0..64 {
        // SAFETY: takes numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number(capability), none, none, none) } != 0 {
            break;
        }
    }
    let all = number(libc::PR_CAP_AMBIENT_CLEAR_ALL);
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, all, none, none, none) };
    let mut header = Header { version: VERSION_3, pid: 0 };
    let sets = [Sets::default(); 2];
    // SAFETY: the header is of the version that has two sets, which are read.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })?;
    let mut left = [Sets { effective: 1, ..Sets::default() }; 2];
    // SAFETY: as above; they are written.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, left.as_mut_ptr()) })?;
    if left == sets { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}
