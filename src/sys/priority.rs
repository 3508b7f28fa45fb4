//! How a process fares when there is less CPU time than is wanted.

use std::io;

use nix::{errno::Errno, libc};

/// What is added to the niceness of work that nobody waits for right now: compiling must not be felt by
/// the apps that serve.
const BACKGROUND: libc::c_int = 10;

/// Gives way to the other processes, for good.
///
/// # Errors
/// The system's own.
pub fn give_way() -> io::Result<()> {
    Errno::clear();
    // SAFETY: takes and gives numbers only.
    let niceness = unsafe { libc::nice(BACKGROUND) };
    // -1 is a niceness as well.
    if niceness == -1 && Errno::last_raw() != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
