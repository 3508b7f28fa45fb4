//! Opens files that somebody else may have put there.
//!
//! The master does so before it hands on what is in them, and must not wait on a pipe that nobody writes to,
//! nor touch a device.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::libc;

/// What a link in the place of the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Another name of the file.
    Follow,
    /// None of ours.
    Refuse,
}

/// Opens an ordinary file for reading, without waiting.
///
/// # Errors
/// The system's own; `InvalidInput` for anything but an ordinary file.
pub fn regular(path: &Path, links: Links) -> io::Result<File> {
    let link = if links == Links::Refuse { libc::O_NOFOLLOW } else { 0 };
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | link;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn what_is_opened_as_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "x").unwrap();
        fs::create_dir(at("folder")).unwrap();
        mkfifo(&at("pipe"), Mode::S_IRUSR).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("pipe", at("link to pipe")).unwrap();
        for (name, followed, refused) in [
            ("file", true, true),
            ("link", true, false),
            ("folder", false, false),
            ("pipe", false, false),
            ("link to pipe", false, false),
            ("nothing", false, false),
        ] {
            assert_eq!(regular(&at(name), Links::Follow).is_ok(), followed, "{name}");
            assert_eq!(regular(&at(name), Links::Refuse).is_ok(), refused, "{name}");
        }
    }
}
