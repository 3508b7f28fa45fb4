//! From an archive to a bundle in the store:
//!
//! ```text
//! read the index -> verify the signature -> there already? -> unpack into tmp -> sync -> link blobs
//!     -> sync -> rename into bundles -> sync
//! ```
//!
//! Blobs are linked only once their bytes are on disk, so that who finds a blob can rely on it. Whatever
//! goes wrong before the rename, the store stays as it was.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    Error, Store, Stored,
    stored::{INDEX, SIGNATURE, TREE, UPLOADER},
    verify::digest_of,
};
use crate::{
    bundle::{self, Archive, Index, Limits, Signer, Trust},
    sys::{point, sync},
};

/// What came of adding a bundle.
#[derive(Clone, Debug)]
pub struct Added {
    /// The bundle as it is in the store.
    pub bundle: Stored,
    /// Who signed it.
    pub signer: Signer,
    /// False where it was there already.
    pub added: bool,
}

impl Store {
    /// Adds the bundle in this archive, if its signature is enough. Where it is there already, the archive
    /// is read no further than its signature, which takes the place of one that is not trusted.
    ///
    /// # Errors
    /// The archive is refused, or something can't be written: the store is then as it was.
    pub fn add(&self, archive: impl Read, limits: &Limits, trust: &Trust) -> Result<Added, Error> {
        let archive = Archive::open(archive, limits)?;
        point::reach("add-opened");
        let signer = bundle::verify(&archive.index_bytes, archive.signature.as_deref(), trust)?;
        if let Some(uploader) = &self.uploader {
            self.make_room(uploader, archive.index.bytes())?;
        }
        let _lock = self.lock_shared()?;
        let (digest, signature) = (archive.digest, archive.signature.clone());
        let place = self.bundle(digest);
        if let Ok(there) = Stored::read(&place, digest) {
            return self.already(there, signature, signer, trust);
        }
        let tmp = self.temporary()?;
        let bundle = tmp.path().join("bundle");
        let tree = bundle.join(TREE);
        let make = DirBuilder::new().recursive(true).mode(0o700).create(&tree);
        make.map_err(Error::file("make the folder", &tree))?;
        let unpacked = archive.extract(&tree)?;
        point::reach("add-extracted");
        write(&bundle.join(INDEX), &unpacked.index_bytes)?;
        if let Some(signature) = &signature {
            write(&bundle.join(SIGNATURE), signature.as_bytes())?;
        }
        if let Some(uploader) = &self.uploader {
            write(&bundle.join(UPLOADER), uploader.uid.to_string().as_bytes())?;
        }
        sync::file_system(&bundle).map_err(Error::file("sync", &bundle))?;
        point::reach("add-synced");

        let mut linked = Vec::new();
        let links = Links { tree: &tree, spare: &tmp.path().join("link") };
        let done = self.link_blobs(&links, &unpacked.index, &mut linked).and_then(|()| {
            sync::file_system(&bundle).map_err(Error::file("sync", &bundle))?;
            point::reach("add-linked");
            self.put(&bundle, &place)
        });
        point::reach("add-put");
        match done {
            Ok(added) => Ok(Added { bundle: Stored::read(&place, digest)?, signer, added }),
            Err(error) => {
                drop(tmp);
                unlink(&linked);
                Err(error)
            }
        }
    }

    /// The bundle was there: only its signature may be better now.
    fn already(
        &self,
        mut there: Stored,
        signature: Option<String>,
        signer: Signer,
        trust: &Trust,
    ) -> Result<Added, Error> {
        let is_better = matches!(signer, Signer::Trusted(_))
            && !matches!(there.signer(&Trust { require: false, ..trust.clone() }), Ok(Signer::Trusted(_)));
        if let (true, Some(signature)) = (is_better, signature) {
            let tmp = self.temporary()?;
            let (new, folder) = (tmp.path().join(SIGNATURE), self.bundle(there.digest));
            write(&new, signature.as_bytes())?;
            sync::file_system(tmp.path()).map_err(Error::file("sync", &new))?;
            let place = folder.join(SIGNATURE);
            fs::rename(&new, &place).map_err(Error::file("replace", place))?;
            sync::folder(&folder).map_err(Error::file("sync", folder))?;
            there.signature = Some(signature);
        }
        self.relabel(there.digest)?;
        Ok(Added { bundle: there, signer, added: false })
    }

    /// Makes every file of the tree a link to its blob; `linked` are the blobs that are new.
    fn link_blobs(&self, links: &Links<'_>, index: &Index, linked: &mut Vec<PathBuf>) -> Result<(), Error> {
        for entry in &index.files {
            let (file, blob) = (links.tree.join(&entry.path), self.blob(entry.sha256));
            match fs::hard_link(&file, &blob) {
                Ok(()) => linked.push(blob),
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                    links.share(&blob, &file, entry)?;
                }
                Err(cause) => return Err(Error::file("link a blob to", file)(cause)),
            }
        }
        Ok(())
    }

    /// Gives the bundle its name. False where another process was first.
    fn put(&self, bundle: &Path, place: &Path) -> Result<bool, Error> {
        let rename = || match fs::rename(bundle, place) {
            Ok(()) => Ok(true),
            Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(cause) => Err(Error::file("rename to", place)(cause)),
        };
        let mut added = rename()?;
        let digest = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_whole = || self.get(digest.trim_start_matches("sha256-")).is_ok();
        if !added && !is_whole() {
            // What is there is damaged, which is why this one was unpacked at all.
            let old = self.temporary()?;
            fs::rename(place, old.path().join("damaged")).map_err(Error::file("move away", place))?;
            added = rename()?;
        }
        let bundles = self.bundles();
        sync::folder(&bundles).map_err(Error::file("sync", bundles))?;
        Ok(added)
    }
}

/// Where links are made.
struct Links<'a> {
    tree: &'a Path,
    /// A name that is free, for a link before it takes another's place.
    spare: &'a Path,
}

impl Links<'_> {
    /// Puts a link to the blob in the place of a file with the same content. A blob that has not the digest
    /// whose name it has is damaged, and the file, which was just found to be right, takes its place.
    fn share(&self, blob: &Path, file: &Path, entry: &bundle::File) -> Result<(), Error> {
        let there = fs::symlink_metadata(blob).map_err(Error::file("look at", blob))?;
        // What can't be read is of as little use as what has changed.
        let is_whole = there.is_file()
            && there.len() == entry.size
            && digest_of(blob).is_ok_and(|digest| digest == entry.sha256);
        if !is_whole {
            fs::hard_link(file, self.spare).map_err(Error::file("link to", file))?;
            return fs::rename(self.spare, blob).map_err(Error::file("replace", blob));
        }
        match fs::hard_link(blob, self.spare) {
            Ok(()) => fs::rename(self.spare, file).map_err(Error::file("replace", file)),
            // As many links as the file system can have: the file stays, as a copy.
            Err(cause) if cause.kind() == io::ErrorKind::TooManyLinks => Ok(()),
            Err(cause) => Err(Error::file("link to", blob)(cause)),
        }
    }
}

/// After a failure: the new blobs, but for those that another bundle has linked to meanwhile.
fn unlink(linked: &[PathBuf]) {
    for blob in linked {
        if fs::symlink_metadata(blob).is_ok_and(|found| found.nlink() == 1) {
            let _ = fs::remove_file(blob);
        }
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    let done = fs::write(file, bytes).and_then(|()| fs::set_permissions(file, Permissions::from_mode(0o444)));
    done.map_err(Error::file("write", file))
}
