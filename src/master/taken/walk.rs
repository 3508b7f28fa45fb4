//! A walk through an app's folders: what they take of the disk. Part of `taken`.
//!
//! Guests change the folders meanwhile, and want it to be wrong: each folder is opened in the one that it was
//! found in, never by a path, and what is kept of the walk is bounded in depth and number.

use std::{
    collections::BTreeSet,
    fs::{self, DirEntry, Metadata, ReadDir},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use crate::sys::folder::{Folder, is_for_want_of_room};

/// The unit of `st_blocks`, whatever the file system's own is.
const BLOCK: u64 = 512;

/// Where it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// So many files and folders.
    pub(super) entries: usize,
    /// Folders within folders. It takes two fds for each.
    pub(super) depth: usize,
    /// More bytes than this are enough to know.
    pub(super) bytes: u64,
}

/// See the top.
#[derive(Debug)]
pub(super) struct Walk {
    bounds: Bounds,
    entries: usize,
    bytes: u64,
    is_whole: bool,
    /// Files with several names, or none, by device and number: each counts once.
    seen: BTreeSet<(u64, u64)>,
    /// Where the folders are.
    devices: BTreeSet<u64>,
}

impl Walk {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: 0, bytes: 0, is_whole: true, seen: BTreeSet::new(), devices: BTreeSet::new() }
    }

    /// Bytes on the disk, and whether that is all.
    pub(super) fn found(&self) -> (u64, bool) {
        (self.bytes, self.is_whole)
    }

    fn is_over(&self) -> bool {
        self.entries > self.bounds.entries || self.bytes > self.bounds.bytes
    }

    /// One folder with all that is in it. Symbolic links are not followed.
    ///
    /// # Errors
    /// This process has no room to look.
    pub(super) fn folder(&mut self, path: &Path) -> io::Result<()> {
        self.devices.extend(fs::metadata(path).map(|found| found.dev()));
        let top = self.look(Folder::open(path))?;
        let mut open: Vec<(Folder, ReadDir)> = top.into_iter().collect();
        while let Some((folder, entries)) = open.last_mut() {
            if self.is_over() {
                self.is_whole = false;
                return Ok(());
            }
            let inner = match entries.next() {
                Some(Ok(entry)) if self.entry(&entry) => folder.inside(&entry.file_name()),
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(error),
                None => {
                    open.pop();
                    continue;
                }
            };
            if open.len() >= self.bounds.depth {
                self.is_whole = false;
            } else if let Some(inner) = self.look(inner)? {
                open.push(inner);
            }
        }
        Ok(())
    }

    /// Counts it. Is it a folder?
    fn entry(&mut self, entry: &DirEntry) -> bool {
        self.entries += 1;
        // One that goes meanwhile takes nothing.
        let Ok(found) = entry.metadata() else { return false };
        if found.is_dir() || found.nlink() == 1 || self.is_new(&found) {
            self.add(&found);
        }
        found.is_dir()
    }

    /// Begins with a folder, where it is still there.
    fn look(&mut self, folder: io::Result<Option<Folder>>) -> io::Result<Option<(Folder, ReadDir)>> {
        let opened = folder.and_then(|folder| {
            let Some(folder) = folder else { return Ok(None) };
            let entries = folder.entries()?;
            Ok(Some((folder, entries)))
        });
        match opened {
            Err(error) if !is_for_want_of_room(&error) => {
                self.is_whole = false;
                Ok(None)
            }
            opened => opened,
        }
    }

    /// What a process has open on the folders' devices and no folder names any more: it is freed when the
    /// process closes it. Where the system does not let this one look, nothing.
    pub(super) fn unlinked(&mut self, os_pid: u32) {
        let Ok(files) = fs::read_dir(format!("/proc/{os_pid}/fd")) else { return };
        for file in files.flatten() {
            let Ok(found) = fs::metadata(file.path()) else { continue };
            if found.is_file()
                && found.nlink() == 0
                && self.devices.contains(&found.dev())
                && self.is_new(&found)
            {
                self.add(&found);
            }
        }
    }

    fn is_new(&mut self, found: &Metadata) -> bool {
        self.seen.insert((found.dev(), found.ino()))
    }

    fn add(&mut self, found: &Metadata) {
        // With an overlay it is not the folder's.
        self.devices.insert(found.dev());
        self.bytes = self.bytes.saturating_add(found.blocks().saturating_mul(BLOCK));
    }
}
