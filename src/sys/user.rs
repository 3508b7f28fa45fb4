//! Who this process is.

use nix::unistd;

/// The user id that files are made and checked with.
#[must_use]
pub fn effective() -> u32 {
    unistd::geteuid().as_raw()
}
