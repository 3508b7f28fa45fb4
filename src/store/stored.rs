//! One bundle in the store, read. Its index is held against its digest; its files are not hashed here,
//! that is `verify`'s.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{Error, is_missing};
use crate::{
    bundle::{self, Index, Limits, SignError, Signer, Trust},
    digest::Digest,
    manifest::{self, App, ManifestError},
};

/// A bundle's files beside its tree.
pub(super) const INDEX: &str = "index.json";
pub(super) const SIGNATURE: &str = "signature";
pub(super) const TREE: &str = "tree";
pub(super) const UPLOADER: &str = "uploader";

/// The most bytes of a signature.
const MAX_SIGNATURE: u64 = 4096;

/// A bundle in the store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The bundle's.
    pub digest: Digest,
    /// What it holds.
    pub index: Index,
    /// A minisign signature's text. See [`Stored::signer`].
    pub signature: Option<String>,
    /// Its files: the app's folder, with its `hatchery.toml`. Not to be written to.
    pub folder: PathBuf,
}

impl Stored {
    /// The app, read and checked again.
    ///
    /// # Errors
    /// The manifest is wrong for this version of Hatchery.
    pub fn app(&self) -> Result<App, ManifestError> {
        manifest::load(&self.folder)
    }

    /// Who signed it, by those who are trusted now.
    ///
    /// # Errors
    /// It is not signed by one that is required, or wrongly.
    pub fn signer(&self, trust: &Trust) -> Result<Signer, SignError> {
        bundle::verify(&self.index.to_bytes(), self.signature.as_deref(), trust)
    }

    /// The bundle in its folder below `bundles`.
    pub(super) fn read(folder: &Path, digest: Digest) -> Result<Self, Error> {
        let damaged = |why: String| Error::Damaged { digest, why };
        let bytes = bounded(&folder.join(INDEX), Limits::default().index_bytes)
            .map_err(|cause| damaged(format!("its {INDEX} can't be read: {cause}")))?;
        if Digest::of(&bytes) != digest {
            return Err(damaged(format!("its {INDEX} has another digest")));
        }
        let index = Index::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let signature = match bounded(&folder.join(SIGNATURE), MAX_SIGNATURE) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(cause) if is_missing(&cause) => None,
            Err(cause) => return Err(damaged(format!("its {SIGNATURE} can't be read: {cause}"))),
        };
        Ok(Self { digest, index, signature, folder: folder.join(TREE) })
    }
}

fn bounded(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    if fs::symlink_metadata(file)?.len() > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
