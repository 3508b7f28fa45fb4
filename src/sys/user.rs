//! Who this process is.

use std::io;

use nix::unistd;

/// The user id that files are made and checked with.
#[must_use]
pub fn effective() -> u32 {
    unistd::geteuid().as_raw()
}

/// May this process start others as other users?
#[must_use]
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// The id of the user of this name, if there is one.
///
/// # Errors
/// The system's own.
pub fn id_of(name: &str) -> io::Result<Option<u32>> {
    Ok(unistd::User::from_name(name)?.map(|user| user.uid.as_raw()))
}
