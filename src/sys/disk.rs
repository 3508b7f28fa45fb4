//! How much room a disk has.

use std::{io, path::Path};

use nix::sys::statvfs::statvfs;

/// Bytes that an ordinary user may still write to the file system of this folder.
///
/// # Errors
/// The system's own.
pub fn free(folder: &Path) -> io::Result<u64> {
    let found = statvfs(folder)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}
