//! The fds that a child finds: their numbers, and who owns them.
//!
//! `main` calls [`init`] before anything else; a role takes each fd once. The master gives them
//! with [`super::spawn`].

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
};

use command_fds::inherited::{init_inherited_fds, take_fd_ownership};

/// The child's standard error: a pipe to the master's log (`log::collect`). `take` has nothing to do with it.
pub const LOG_FD: RawFd = 2;

/// The child's end of the control stream (`ipc::link`).
pub const CONTROL_FD: RawFd = 3;

/// The compiled component, a sealed memfd. Absent where a process has none. In a compiler: the component
/// as it is, a sealed memfd as well.
pub const COMPONENT_FD: RawFd = 4;

/// The child's end of the handoff socket (`ipc::handoff`). Absent in an agent, and with
/// `balance = "shared"`. In a broker: where the sockets of its peers come (`ipc::broker`).
pub const HANDOFF_FD: RawFd = 5;

/// The listener, with `balance = "shared"` only.
pub const LISTENER_FD: RawFd = 6;

/// The child's end of the heartbeat socket (`ipc::heartbeat`). Absent in a compiler.
pub const HEARTBEAT_FD: RawFd = 7;

/// The child's black box (`ipc::blackbox`). Absent in a compiler.
pub const BLACKBOX_FD: RawFd = 8;

/// The child's counters (`ipc::counters`). Absent in a compiler.
pub const COUNTERS_FD: RawFd = 9;

/// The child's socket to its app's broker (`ipc::broker`). Absent where its component is granted no host.
pub const BROKER_FD: RawFd = 10;

/// Where a broker, compiler or storekeeper says what it has shut itself into (`sandbox::tell`), a pipe.
pub const REPORT_FD: RawFd = 11;

/// What the child is to shut itself into (`sandbox::Profile`), a sealed memfd. Absent in one that
/// isn't to.
pub const SANDBOX_FD: RawFd = 15;

/// The first of the folders that the master has opened for the child (`sandbox::Handed`).
pub const FIRST_FOLDER_FD: RawFd = 16;

/// The most of those.
pub const MAX_FOLDER_FDS: usize = 256;

/// Owns every fd that this process was started with, standard ones excepted, and makes them
/// close-on-exec. Whatever else a shell left open is kept, harmless and unused.
///
/// To be called once, first thing in `main`.
///
/// # Errors
/// `/proc` isn't mounted, or it was called before.
pub fn init() -> io::Result<()> {
    // SAFETY: called first thing in `main`, before anything else has opened or owns an fd; a second
    // call fails, but `main` makes only one.
    unsafe { init_inherited_fds() }
}

/// Takes the fd that the parent gave under this number.
///
/// # Errors
/// It wasn't given, or was taken before, or [`init`] wasn't called.
pub fn take(fd: RawFd) -> io::Result<OwnedFd> {
    take_fd_ownership(fd).map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))
}
