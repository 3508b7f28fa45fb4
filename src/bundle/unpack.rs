//! An archive to files: the index first, then exactly the entries that it has, each checked while it is
//! written. Called by `store` and `inspect`, with bytes from anybody.
//!
//! Memory is bounded by the index's limit, zstd's window and two buffers. Nothing is synced to disk here;
//! `store` does that before it gives a bundle its name.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{
    Error, File, INDEX_NAME, Index, Limits, SIGNATURE_NAME, check,
    error::shown,
    header::{self, Block},
    limits::SIGNATURE_BYTES,
    manifest,
    plain::Plain,
};
use crate::digest::{Digest, Hashing};
use crate::manifest::{App, load};

/// Bytes that are written at once.
const CHUNK: usize = 64 << 10;

/// An archive whose index is read and within the limits. Nothing is written yet.
pub struct Archive<R: Read> {
    /// What it holds.
    pub index: Index,
    /// The index's bytes, which the digest and the signature are of.
    pub index_bytes: Vec<u8>,
    /// The bundle's.
    pub digest: Digest,
    /// A minisign signature's text, not verified.
    pub signature: Option<String>,
    plain: Plain<R>,
    /// The header of the first file.
    next: Option<Block>,
}

/// A bundle as files.
#[derive(Debug)]
pub struct Unpacked {
    /// What it holds.
    pub index: Index,
    /// The index's bytes.
    pub index_bytes: Vec<u8>,
    /// The bundle's.
    pub digest: Digest,
    /// A minisign signature's text, not verified.
    pub signature: Option<String>,
    /// The manifest inside, checked. Its paths are in the folder that was unpacked into.
    pub app: App,
}

/// Unpacks the whole archive into an empty folder that nobody else writes to. On an error the folder is
/// empty again.
///
/// # Errors
/// Whatever is wrong with the archive, or can't be written.
pub fn unpack(reader: impl Read, into: &Path, limits: &Limits) -> Result<Unpacked, Error> {
    Archive::open(reader, limits)?.extract(into)
}

impl<R: Read> Archive<R> {
    /// Reads the index and the signature.
    ///
    /// # Errors
    /// It is no bundle, or over the limits.
    pub fn open(reader: R, limits: &Limits) -> Result<Self, Error> {
        let mut plain = Plain::new(reader, limits.ratio)?;
        let first = plain.block()?;
        if header::name(&first) != INDEX_NAME {
            let name = header::name(&first);
            return Err(Error::NotABundle(format!("its first entry is `{name}`, not `{INDEX_NAME}`")));
        }
        let index_bytes = whole(&mut plain, &first, INDEX_NAME, limits.index_bytes)?;
        let index = Index::parse(&index_bytes)?;
        check::check(&index, limits)?;
        let mut next = plain.block()?;
        let mut signature = None;
        if header::name(&next) == SIGNATURE_NAME {
            let bytes = whole(&mut plain, &next, SIGNATURE_NAME, SIGNATURE_BYTES)?;
            let text =
                String::from_utf8(bytes).map_err(|_| Error::entry(SIGNATURE_NAME, "it is not UTF-8"))?;
            signature = Some(text);
            next = plain.block()?;
        }
        let digest = Digest::of(&index_bytes);
        Ok(Self { index, index_bytes, digest, signature, plain, next: Some(next) })
    }

    /// Writes all files below an empty folder that nobody else writes to, and reads the archive to its
    /// end. Files get mode 0444. On an error the folder is empty again.
    ///
    /// # Errors
    /// Whatever is wrong with the archive or its manifest, or can't be written.
    pub fn extract(mut self, into: &Path) -> Result<Unpacked, Error> {
        let done = self.write_all(into).and_then(|()| self.plain.end()).and_then(|()| {
            let app = load(into).map_err(|error| Error::Manifest(Box::new(error)))?;
            manifest::agrees(&app, &self.index)?;
            Ok(app)
        });
        match done {
            Ok(app) => Ok(Unpacked {
                index: self.index,
                index_bytes: self.index_bytes,
                digest: self.digest,
                signature: self.signature,
                app,
            }),
            Err(error) => {
                // What was wrong is worth more to the user than that something is left behind.
                let _ = clear(into);
                Err(error)
            }
        }
    }

    fn write_all(&mut self, into: &Path) -> Result<(), Error> {
        let mut folders = BTreeSet::new();
        for folder in &self.index.folders {
            make_folders(into, folder, &mut folders)?;
        }
        let mut chunk = vec![0; CHUNK];
        for file in &self.index.files {
            let header = self.next.take().map_or_else(|| self.plain.block(), Ok)?;
            header::expect(&header, &file.path, file.size)?;
            if let Some((above, _)) = file.path.rsplit_once('/') {
                make_folders(into, above, &mut folders)?;
            }
            write(&mut self.plain, file, into, &mut chunk)?;
        }
        Ok(())
    }
}

/// An entry of which the name is known and the size is not, as a whole.
fn whole<R: Read>(plain: &mut Plain<R>, header: &Block, name: &str, most: u64) -> Result<Vec<u8>, Error> {
    let size = header::size(header, name, most)?;
    let too_large = |_| Error::limit(format!("the archive's entry `{name}`"), "this machine's memory");
    let mut bytes = vec![0; usize::try_from(size).map_err(too_large)?];
    plain.fill(&mut bytes)?;
    padding(plain, name, size)?;
    Ok(bytes)
}

fn padding<R: Read>(plain: &mut Plain<R>, name: &str, size: u64) -> Result<(), Error> {
    if plain.zeros(header::padding(size))? {
        Ok(())
    } else {
        Err(Error::entry(name, "there are bytes between its end and the next header"))
    }
}

/// Makes a folder and those above it, each once.
fn make_folders<'a>(into: &Path, folder: &'a str, made: &mut BTreeSet<&'a str>) -> Result<(), Error> {
    if made.insert(folder) {
        let path = into.join(folder);
        let make = DirBuilder::new().recursive(true).mode(0o755).create(&path);
        make.map_err(Error::file("make the folder", path))?;
    }
    Ok(())
}

/// The next file. Its path leads through folders that were made here, so there is no link to follow.
fn write<R: Read>(plain: &mut Plain<R>, file: &File, into: &Path, chunk: &mut [u8]) -> Result<(), Error> {
    let path = into.join(&file.path);
    // `create_new` is O_EXCL: neither an existing file nor a link is taken.
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut to = Hashing::new(opened.map_err(Error::file("make the file", &path))?);
    let mut left = file.size;
    while left > 0 {
        let count = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
        let part = &mut chunk[..count];
        plain.fill(part)?;
        to.write_all(part).map_err(Error::file("write", &path))?;
        left -= count as u64;
    }
    to.get_ref()
        .set_permissions(Permissions::from_mode(0o444))
        .map_err(Error::file("change the mode of", &path))?;
    let (found, _) = to.finish();
    if found != file.sha256 {
        return Err(Error::Content { path: shown(&file.path), expected: file.sha256, found });
    }
    padding(plain, &file.path, file.size)
}

/// Removes what is in a folder, and leaves the folder.
fn clear(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
