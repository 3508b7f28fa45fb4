//! An app to an archive. The same app gives the same bytes: sorted, without times, owners and modes, at one
//! level of compression. (A signature has random bytes; the digest is the same with and without.)
//!
//! Called by `hatchery pack`, and by `inspect` for a folder. It runs no build command.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use zstd::stream::write::Encoder;

use super::{
    Error, File, INDEX_NAME, Index, Limits, SIGNATURE_NAME, SigningKey, check,
    header::{self, BLOCK},
    manifest::{place, relative, rewrite},
    plain::{END_BLOCKS, WINDOW_LOG},
};
use crate::digest::{Digest, Hashing};
use crate::manifest::{App, FILE_NAME};

/// How hard zstd tries.
const LEVEL: i32 = 12;

/// What a bundle of an app will hold.
pub struct Plan {
    /// The app that is packed.
    pub app: App,
    /// What the bundle's first entry will be.
    pub index: Index,
    /// Where each file of the index comes from.
    sources: BTreeMap<String, Source>,
}

enum Source {
    /// What the manifest becomes.
    Text(Vec<u8>),
    File(PathBuf),
}

/// Finds and hashes what goes into a bundle of this app: its manifest, its components, and what is in the
/// folders that its guests read. Folders that a guest may write to are packed empty.
///
/// # Errors
/// Something that can't be in a bundle, or can't be read; a bundle over the limits.
pub fn plan(app: App, limits: &Limits) -> Result<Plan, Error> {
    let mut found = Found { sources: BTreeMap::new(), folders: BTreeSet::new(), limits };
    let text = fs::read_to_string(&app.manifest).map_err(Error::file("read", &app.manifest))?;
    found.sources.insert(FILE_NAME.to_owned(), Source::Text(rewrite(&text, &app)?.into_bytes()));
    for (role, component) in app.components() {
        found.sources.insert(place(role).to_owned(), Source::File(component.file.clone()));
    }
    let folders = app.components().flat_map(|(_, component)| &component.capabilities.folders);
    let (writable, read): (Vec<_>, Vec<_>) = folders.partition(|folder| folder.writable);
    let writable: BTreeSet<&Path> = writable.iter().map(|folder| folder.source.as_path()).collect();
    for folder in read.iter().map(|folder| folder.source.as_path()).filter(|path| !writable.contains(path)) {
        found.walk(&app, folder, &writable)?;
    }
    for folder in writable {
        found.folders.insert(below(&app, folder)?);
    }
    let files = found.sources.iter().map(|(path, source)| hashed(path, source)).collect::<Result<_, _>>()?;
    // A folder with a file below it need not be named.
    let implied: BTreeSet<&str> = found
        .sources
        .keys()
        .chain(&found.folders)
        .flat_map(|path| path.match_indices('/').map(|(end, _)| &path[..end]))
        .collect();
    let folders = found.folders.iter().filter(|path| !implied.contains(path.as_str())).cloned().collect();
    let index = Index::new(app.name.clone(), app.version.clone(), folders, files);
    check::check(&index, limits)?;
    Ok(Plan { app, index, sources: found.sources })
}

struct Found<'a> {
    sources: BTreeMap<String, Source>,
    folders: BTreeSet<String>,
    limits: &'a Limits,
}

impl Found<'_> {
    /// Takes in what is below a folder, but for what is writable.
    fn walk(&mut self, app: &App, top: &Path, writable: &BTreeSet<&Path>) -> Result<(), Error> {
        let mut left = vec![top.to_owned()];
        while let Some(folder) = left.pop() {
            self.folders.insert(below(app, &folder)?);
            if writable.contains(folder.as_path()) {
                continue;
            }
            for entry in fs::read_dir(&folder).map_err(Error::file("read the folder", &folder))? {
                let entry = entry.map_err(Error::file("read the folder", &folder))?;
                let path = entry.path();
                let kind = entry.file_type().map_err(Error::file("look at", &path))?;
                if kind.is_dir() {
                    left.push(path);
                } else if kind.is_file() {
                    self.sources.insert(relative(app, &path)?, Source::File(path));
                } else if kind.is_symlink() {
                    return Err(unpackable(path, "it is a symbolic link; put a copy there instead"));
                } else {
                    return Err(unpackable(path, "it is neither a file nor a folder; move it elsewhere"));
                }
                let entries = self.sources.len() + self.folders.len() + left.len();
                if entries > self.limits.entries {
                    let what = format!("{} with {entries} or more files and folders", top.display());
                    return Err(Error::limit(what, self.limits.entries.to_string()));
                }
            }
        }
        Ok(())
    }
}

/// As [`relative`], but not the app's folder itself.
fn below(app: &App, folder: &Path) -> Result<String, Error> {
    let path = relative(app, folder)?;
    if path.is_empty() {
        let reason = "`folders` names the app's folder itself, sources and all; move the files that \
                      guests need to a folder of their own";
        return Err(unpackable(folder.to_owned(), reason));
    }
    Ok(path)
}

fn unpackable(path: PathBuf, reason: &str) -> Error {
    Error::Unpackable { path, reason: reason.to_owned() }
}

fn hashed(path: &str, source: &Source) -> Result<File, Error> {
    let mut hash = Hashing::new(io::sink());
    copy(source, &mut hash, path)?;
    let (sha256, size) = hash.finish();
    Ok(File { path: path.to_owned(), size, sha256 })
}

fn copy(source: &Source, to: &mut impl Write, path: &str) -> Result<(), Error> {
    let done = match source {
        Source::Text(text) => to.write_all(text),
        Source::File(file) => {
            let mut from = fs::File::open(file).map_err(Error::file("read", file))?;
            io::copy(&mut from, to).map(drop)
        }
    };
    done.map_err(Error::file("pack", path))
}

impl Plan {
    /// The bundle's.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.index.to_bytes())
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// A file has changed since it was hashed, or something can't be read or written.
    pub fn write(&self, to: impl Write, key: Option<&SigningKey>) -> Result<(), Error> {
        let index = self.index.to_bytes();
        let signature = key.map(|key| key.sign(&index, &self.comment())).transpose();
        let signature =
            signature.map_err(|error| Error::file("sign", INDEX_NAME)(io::Error::other(error)))?;
        let failed = || Error::file("write", "the archive");
        let mut to = Encoder::new(to, LEVEL).map_err(failed())?;
        to.window_log(WINDOW_LOG).and_then(|()| to.include_checksum(true)).map_err(failed())?;
        entry(&mut to, INDEX_NAME, &index)?;
        if let Some(signature) = signature {
            entry(&mut to, SIGNATURE_NAME, signature.as_bytes())?;
        }
        for (file, source) in self.index.files.iter().zip(self.sources.values()) {
            self.file(&mut to, file, source)?;
        }
        to.write_all(&[0; END_BLOCKS * BLOCK]).map_err(failed())?;
        to.finish().and_then(|mut to| to.flush()).map_err(failed())
    }

    fn file(&self, to: &mut impl Write, file: &File, source: &Source) -> Result<(), Error> {
        let failed = || Error::file("write", "the archive");
        to.write_all(header::header(&file.path, file.size)?.as_bytes()).map_err(failed())?;
        let mut hash = Hashing::new(&mut *to);
        copy(source, &mut hash, &file.path)?;
        if hash.finish() != (file.sha256, file.size) {
            let path = self.app.folder.join(&file.path);
            return Err(unpackable(path, "it changed while it was packed; pack again"));
        }
        to.write_all(&[0; BLOCK][..header::padding(file.size)]).map_err(failed())
    }

    /// What the signature says beside the index.
    fn comment(&self) -> String {
        format!("hatchery bundle {} {} {}", self.index.name, self.index.version, self.digest())
    }
}

fn entry(to: &mut impl Write, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let size = bytes.len() as u64;
    let header = header::header(name, size)?;
    let mut write = || {
        to.write_all(header.as_bytes())?;
        to.write_all(bytes)?;
        to.write_all(&[0; BLOCK][..header::padding(size)])
    };
    write().map_err(Error::file("write", "the archive"))
}

#[cfg(test)]
mod tests;
