//! The bundle store, `HOME/store`: bundles by digest, files that are the same kept once.
//!
//! ```text
//! blobs/sha256/HEX               one file of any bundle, mode 0444
//! bundles/sha256-HEX/index.json  by whose digest the bundle goes
//!                   /signature   where it is signed
//!                   /uploader    the uid of who brought it, where that is not the owner
//!                   /tree/…      its files: links to blobs
//! tmp/                           what is being added or removed; emptied when the store is opened
//! lock                           shared by who adds, exclusive for who removes
//! ```
//!
//! A bundle's folder comes by one rename, after everything in it is on disk: whatever happens, it is there
//! whole or not at all, and a bundle without its folder in `bundles` is no bundle. Blobs that no bundle
//! links to do no harm; `prune` removes them.
//!
//! Called by the storekeeper (a short-lived child), and by `inspect`, which only reads. Everything here
//! blocks; never call it on the master's loop. Native code in a bundle is never loaded: the manifest names
//! `worker.wasm` and `agent.wasm`, and those go through the compiler.

mod add;
mod error;
mod lock;
mod prune;
mod stored;
mod uploads;
mod verify;

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

pub use add::Added;
pub use error::Error;
pub use prune::Pruned;
pub use stored::Stored;
pub use uploads::Uploader;
pub use verify::{Checked, Damage};

use crate::digest::Digest;

/// The fewest hex digits that name a bundle.
pub const MIN_PREFIX: usize = 4;

/// The hex digits of a text that may name a bundle: `sha256:` and its digest, or the first digits of that,
/// at least [`MIN_PREFIX`]. `None`: it names none, whatever there is.
#[must_use]
pub fn digits(name: &str) -> Option<&str> {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (digits.len() >= MIN_PREFIX && is_hex).then_some(digits)
}

/// The store below one home. Several processes may have it open.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    /// Who brings what is added; `None`: the owner.
    uploader: Option<Uploader>,
}

impl Store {
    /// Opens the store, makes it where there is none, and removes what others have left half done.
    ///
    /// # Errors
    /// It can't be read or made.
    pub fn open(home: &Path) -> Result<Self, Error> {
        let store = Self::of(home);
        for folder in [store.blobs(), store.bundles(), store.tmp()] {
            let make = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            make.map_err(Error::file("make the folder", &folder))?;
        }
        // Who adds has the lock too: then there is something in `tmp` that is not left over.
        if let Some(_lock) = store.try_lock_alone()? {
            let tmp = store.tmp();
            for entry in fs::read_dir(&tmp).map_err(Error::file("read the folder", &tmp))? {
                let path = entry.map_err(Error::file("read the folder", &tmp))?.path();
                fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(store)
    }

    /// The store of a home in which somebody has it open. Makes and removes nothing.
    #[must_use]
    pub fn of(home: &Path) -> Self {
        Self { folder: home.join("store"), uploader: None }
    }

    /// What is added from now on is of this user, who has bounds, or of the owner.
    #[must_use]
    pub fn on_behalf_of(self, uploader: Option<Uploader>) -> Self {
        Self { uploader, ..self }
    }

    /// The bundle that goes by this name (see [`digits`]), if only one does.
    ///
    /// # Errors
    /// There is none, or more than one, or it is damaged.
    pub fn get(&self, name: &str) -> Result<Stored, Error> {
        let not_found = || Error::NotFound(name.chars().take(80).collect());
        let prefix = digits(name).ok_or_else(not_found)?;
        let mut found = self.digests()?.into_iter().filter(|digest| digest.hex().starts_with(prefix));
        let digest = found.next().ok_or_else(not_found)?;
        if let Some(other) = found.next() {
            return Err(Error::Ambiguous { name: prefix.to_owned(), one: digest, other });
        }
        Stored::read(&self.bundle(digest), digest)
    }

    /// All bundles, by digest. A damaged one is left out, and logged.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn list(&self) -> Result<Vec<Stored>, Error> {
        let mut found = Vec::new();
        for digest in self.digests()? {
            match Stored::read(&self.bundle(digest), digest) {
                Ok(bundle) => found.push(bundle),
                Err(error) => tracing::warn!("bundle {digest} is left out: {:#}", anyhow::Error::new(error)),
            }
        }
        Ok(found)
    }

    /// The digests of all bundles, in order.
    fn digests(&self) -> Result<Vec<Digest>, Error> {
        let folder = self.bundles();
        let mut found = Vec::new();
        let entries = match fs::read_dir(&folder) {
            // Nothing was ever added.
            Err(cause) if is_missing(&cause) => return Ok(found),
            entries => entries.map_err(Error::file("read the folder", &folder))?,
        };
        for entry in entries {
            let name = entry.map_err(Error::file("read the folder", &folder))?.file_name();
            let hex = name.to_str().and_then(|name| name.strip_prefix("sha256-"));
            found.extend(hex.and_then(|hex| Digest::from_hex(hex).ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Where the files of a bundle are, if there is such a one.
    #[must_use]
    pub fn tree(&self, digest: Digest) -> PathBuf {
        self.bundle(digest).join(stored::TREE)
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn bundles(&self) -> PathBuf {
        self.folder.join("bundles")
    }

    fn bundle(&self, digest: Digest) -> PathBuf {
        self.bundles().join(format!("sha256-{}", digest.hex()))
    }

    fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// A folder of its own in `tmp`, for who has the lock. Gone when dropped.
    fn temporary(&self) -> Result<tempfile::TempDir, Error> {
        let tmp = self.tmp();
        tempfile::Builder::new().tempdir_in(&tmp).map_err(Error::file("make a folder in", tmp))
    }
}

/// Is it the error of something that is not there?
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests;
