//! Reads everything that is in the store and holds it against the digests.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Error, Store, Stored};
use crate::digest::{Digest, Hashing};

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Bytes that there are.
    pub of: u64,
}

/// Something that is not as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The bundle that has it; None for a blob, which may be a part of several.
    pub bundle: Option<Digest>,
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// Digests by device and inode: a blob and its links are hashed once.
type Hashed = HashMap<(u64, u64), Digest>;

impl Store {
    /// Hashes every file of every bundle, and every blob, and gives those that are damaged. `progress` is
    /// called after each file. What is pruned meanwhile is not damaged, but may be reported as missing.
    ///
    /// # Errors
    /// The store itself can't be read.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Damage>, Error> {
        let folder = self.blobs();
        let mut blobs = Vec::new();
        let mut now = Progress::default();
        for entry in fs::read_dir(&folder).map_err(Error::file("read the folder", &folder))? {
            let path = entry.map_err(Error::file("read the folder", &folder))?.path();
            now.of += fs::symlink_metadata(&path).map_or(0, |found| found.len());
            blobs.push(path);
        }
        let mut hashed = Hashed::new();
        let mut damage = Vec::new();
        blobs.sort_unstable();
        for path in blobs {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match (Digest::from_hex(name), hash(&path, &mut hashed)) {
                (Ok(name), Ok((found, bytes))) => {
                    now.bytes += bytes;
                    if name != found {
                        let what = format!("its content has the digest {found}");
                        damage.push(Damage { bundle: None, path, what });
                    }
                }
                (Err(_), _) => damage.push(Damage { bundle: None, path, what: "it is no blob".to_owned() }),
                (_, Err(cause)) => damage.push(Damage { bundle: None, path, what: cause.to_string() }),
            }
            progress(now);
        }
        for digest in self.digests()? {
            let folder = self.bundle(digest);
            match Stored::read(&folder, digest) {
                Ok(bundle) => check(&bundle, &mut hashed, &mut damage),
                Err(error) => {
                    damage.push(Damage { bundle: Some(digest), path: folder, what: error.to_string() });
                }
            }
            progress(now);
        }
        Ok(damage)
    }
}

fn check(bundle: &Stored, hashed: &mut Hashed, damage: &mut Vec<Damage>) {
    let mut note = |path: PathBuf, what: String| {
        damage.push(Damage { bundle: Some(bundle.digest), path, what });
    };
    for file in &bundle.index.files {
        let path = bundle.folder.join(&file.path);
        match hash(&path, hashed) {
            Ok((found, _)) if found == file.sha256 => {}
            Ok((found, _)) => note(path, format!("its content has the digest {found}")),
            Err(cause) => note(path, cause.to_string()),
        }
    }
    for folder in &bundle.index.folders {
        let path = bundle.folder.join(folder);
        if !path.is_dir() {
            note(path, "the folder is missing".to_owned());
        }
    }
}

/// The digest of a file, and how many bytes were read for it.
fn hash(path: &Path, hashed: &mut Hashed) -> io::Result<(Digest, u64)> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let key = (found.dev(), found.ino());
    if let Some(digest) = hashed.get(&key) {
        return Ok((*digest, 0));
    }
    let mut hash = Hashing::new(io::sink());
    io::copy(&mut File::open(path)?, &mut hash)?;
    let (digest, bytes) = hash.finish();
    hashed.insert(key, digest);
    Ok((digest, bytes))
}
