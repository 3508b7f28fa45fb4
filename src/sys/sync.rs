//! What is written, on disk.

use std::{fs::File, io, path::Path};

use nix::unistd;

/// Waits until everything that was written to this folder's file system is on disk: files, folders and
/// links. One call for ten thousand files, where one each would take seconds.
///
/// # Errors
/// The system's own, such as a disk that has failed or is full.
pub fn file_system(folder: &Path) -> io::Result<()> {
    Ok(unistd::syncfs(File::open(folder)?)?)
}

/// Waits until the names in this folder are on disk.
///
/// # Errors
/// The system's own.
pub fn folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
