//! Removes bundles that nobody needs, and blobs that no bundle has.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _};

use super::{Error, Store, is_missing};
use crate::{digest::Digest, sys::sync};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Bundles.
    pub bundles: usize,
    /// Files that only those had.
    pub blobs: usize,
    /// The bytes of those files.
    pub bytes: u64,
}

impl Store {
    /// Removes all bundles but these. The caller sees to it that none of the others is running: their
    /// processes may still open files.
    ///
    /// # Errors
    /// Something can't be removed. What is left is whole; another call goes on.
    pub fn prune(&self, keep: &BTreeSet<Digest>) -> Result<Pruned, Error> {
        let go: Vec<_> = self.digests()?.into_iter().filter(|digest| !keep.contains(digest)).collect();
        self.remove(&go)
    }

    /// Removes these, and blobs that no bundle has.
    pub(super) fn remove(&self, go: &[Digest]) -> Result<Pruned, Error> {
        let _lock = self.lock_alone()?;
        let mut pruned = Pruned::default();
        let tmp = self.temporary()?;
        for digest in go {
            // By one rename, so that there never is half a bundle.
            let (from, to) = (self.bundle(*digest), tmp.path().join(digest.hex()));
            match fs::rename(&from, to) {
                // Somebody else was first.
                Err(cause) if is_missing(&cause) => continue,
                renamed => renamed.map_err(Error::file("remove", from))?,
            }
            pruned.bundles += 1;
        }
        let bundles = self.bundles();
        sync::folder(&bundles).map_err(Error::file("sync", bundles))?;
        let removed = tmp.path().to_owned();
        tmp.close().map_err(Error::file("remove", removed))?;
        let blobs = self.blobs();
        for entry in fs::read_dir(&blobs).map_err(Error::file("read the folder", &blobs))? {
            let path = entry.map_err(Error::file("read the folder", &blobs))?.path();
            let found = fs::symlink_metadata(&path).map_err(Error::file("look at", &path))?;
            // Its own name is the only link: no tree has it.
            if found.is_file() && found.nlink() == 1 {
                fs::remove_file(&path).map_err(Error::file("remove", path))?;
                pruned.blobs += 1;
                pruned.bytes += found.len();
            }
        }
        Ok(pruned)
    }
}
