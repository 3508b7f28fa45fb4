//! Reads everything that is in the store and holds it against the digests.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Error, Store, Stored, is_missing};
use crate::{
    bundle,
    digest::{Digest, Hashing},
};

/// The files of a bundle that decide what runs.
const RUNS: [&str; 3] = ["hatchery.toml", "agent.wasm", "worker.wasm"];

/// What was read, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bundles that were looked at.
    pub bundles: usize,
    /// Files of those whose index can be read.
    pub files: usize,
    /// What is wrong.
    pub damage: Vec<Damage>,
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
    /// Hashes every file of every bundle, and every blob, and gives those that are damaged. What is pruned
    /// meanwhile is not damaged, but may be reported as missing.
    ///
    /// # Errors
    /// The store itself can't be read.
    pub fn verify(&self) -> Result<Checked, Error> {
        let folder = self.blobs();
        let mut blobs = Vec::new();
        let entries = match fs::read_dir(&folder) {
            Err(cause) if is_missing(&cause) => return Ok(Checked::default()),
            entries => entries.map_err(Error::file("read the folder", &folder))?,
        };
        for entry in entries {
            blobs.push(entry.map_err(Error::file("read the folder", &folder))?.path());
        }
        let mut hashed = Hashed::new();
        let mut checked = Checked::default();
        blobs.sort_unstable();
        for path in blobs {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let what = match (Digest::from_hex(name), hash(&path, &mut hashed)) {
                (Ok(name), Ok(found)) if name == found => continue,
                (Ok(_), Ok(found)) => format!("its content has the digest {found}"),
                (Err(_), _) => "it is no blob".to_owned(),
                (_, Err(cause)) => cause.to_string(),
            };
            checked.damage.push(Damage { bundle: None, path, what });
        }
        for digest in self.digests()? {
            checked.bundles += 1;
            let folder = self.bundle(digest);
            match Stored::read(&folder, digest) {
                Ok(bundle) => {
                    checked.files += bundle.index.files.len();
                    check(&bundle, &mut hashed, &mut checked.damage);
                }
                Err(error) => {
                    let what = error.to_string();
                    checked.damage.push(Damage { bundle: Some(digest), path: folder, what });
                }
            }
        }
        Ok(checked)
    }
}

impl Stored {
    /// Hashes what decides what runs, the manifest and the components, and holds it against the index.
    ///
    /// # Errors
    /// One of them is not what was added.
    pub fn check_what_runs(&self) -> Result<(), Error> {
        let decides = |file: &&bundle::File| RUNS.contains(&file.path.as_str());
        for file in self.index.files.iter().filter(decides) {
            let found = hash(&self.folder.join(&file.path), &mut Hashed::new());
            let why = match found {
                Ok(found) if found == file.sha256 => continue,
                Ok(found) => format!("its {} has the digest {found}", file.path),
                Err(cause) => format!("its {} can't be read: {cause}", file.path),
            };
            return Err(Error::Damaged { digest: self.digest, why });
        }
        Ok(())
    }
}

fn check(bundle: &Stored, hashed: &mut Hashed, damage: &mut Vec<Damage>) {
    let mut note = |path: PathBuf, what: String| {
        damage.push(Damage { bundle: Some(bundle.digest), path, what });
    };
    for file in &bundle.index.files {
        let path = bundle.folder.join(&file.path);
        match hash(&path, hashed) {
            Ok(found) if found == file.sha256 => {}
            Ok(found) => note(path, format!("its content has the digest {found}")),
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

fn hash(path: &Path, hashed: &mut Hashed) -> io::Result<Digest> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let key = (found.dev(), found.ino());
    if let Some(digest) = hashed.get(&key) {
        return Ok(*digest);
    }
    let digest = digest_of(path)?;
    hashed.insert(key, digest);
    Ok(digest)
}

/// The digest of a file, as it is now.
pub(super) fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hash = Hashing::new(io::sink());
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.finish().0)
}
