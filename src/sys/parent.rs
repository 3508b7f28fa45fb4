//! A child never outlives its master.
//!
//! Children call this first; it works whatever their guest does. EOF on the control socket says the
//! same to a child whose event loop turns.

use std::io;

use nix::{
    sys::{prctl, signal::Signal},
    unistd,
};

/// What a child exits with when it finds that its parent was gone before it began.
pub const EXIT_ORPHAN: i32 = 110;

/// Has the kernel SIGKILL this process when its parent ends. Where the parent, whose OS pid is
/// given, ended before that took hold, exits with [`EXIT_ORPHAN`].
///
/// The kernel counts the end of the parent's *thread* that spawned this process, so the master has one
/// that lives as long as itself ([`super::spawn`]).
///
/// # Errors
/// The system's own.
pub fn die_with_parent(expected_parent: i32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // A parent outside of this pid namespace has the number 0 in it; such a child was told that its parent
    // is there by `clone`, after the same request.
    let parent = unistd::getppid().as_raw();
    if parent != 0 && parent != expected_parent {
        std::process::exit(EXIT_ORPHAN);
    }
    Ok(())
}
