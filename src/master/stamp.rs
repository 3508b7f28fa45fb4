//! What tells one content of a file from the next under its name, without reading it: whoever changes it writes to
//! it, or puts another in its place.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Of one moment. All of no file are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, i64, i64, u64)>);

impl Stamp {
    /// Looks, through links. May wait for a disk.
    pub(super) fn of(file: &Path) -> Self {
        let found = fs::metadata(file).ok();
        Self(found.map(|at| (at.dev(), at.ino(), at.mtime(), at.mtime_nsec(), at.size())))
    }
}
