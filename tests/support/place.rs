//! Where a master of a test lives: a temporary folder with its home in it, and the mark of its processes.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use tempfile::TempDir;

/// Compiled components of all tests, so that each is compiled once. A home has a link to it.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/e2e-cache");

/// Gone when dropped.
pub(super) struct Place {
    pub(super) folder: TempDir,
    /// What tells the processes from all others (`processes`).
    pub(super) mark: String,
}

impl Place {
    /// A home that shares its compiled components with other tests.
    pub(super) fn new() -> Self {
        let place = Self::with_own_cache();
        fs::create_dir_all(CACHE).unwrap();
        symlink(CACHE, place.home().join("cache")).unwrap();
        place
    }

    /// One that compiles everything anew.
    pub(super) fn with_own_cache() -> Self {
        let folder = tempfile::Builder::new().prefix("hatchery-e2e-").tempdir().unwrap();
        let mark = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let place = Self { folder, mark };
        fs::create_dir(place.home()).unwrap();
        place
    }

    /// Where the master keeps its state.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
}
