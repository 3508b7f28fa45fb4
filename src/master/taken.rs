//! What an app takes of memory and of the disk, looked at on a thread: a folder can have any number of
//! files, and a disk may be slow. `app` asks for it now and then, and judges.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{cluster::Pid, sys::usage};

/// The most files and folders that are looked at. An app that has more has too many.
const MAX_ENTRIES: usize = 200_000;

/// The unit of `st_blocks`, whatever the file system's own is.
const BLOCK: u64 = 512;

/// A process of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// An agent or a worker.
    Process(Pid),
    /// The broker of this generation.
    Broker(u64),
}

/// What is to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Processes, with the system's pids.
    pub(super) processes: Vec<(Member, u32)>,
    /// Folders.
    pub(super) folders: Vec<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Resident bytes of each process that is still there.
    pub(super) memory: Vec<(Member, u64)>,
    /// Of the folders together, where there are any.
    pub(super) disk: Option<Disk>,
}

/// What folders take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    /// On the disk, as the file system has it.
    pub(super) bytes: u64,
    /// All of it was seen.
    pub(super) is_whole: bool,
    /// How long that took.
    pub(super) took: Duration,
}

impl Wanted {
    /// Looks. Blocks.
    pub(super) fn look(&self) -> Seen {
        let memory = |(member, os_pid): &(Member, u32)| Some((*member, usage::of(*os_pid).ok()?.memory));
        Seen {
            memory: self.processes.iter().filter_map(memory).collect(),
            disk: (!self.folders.is_empty()).then(|| disk(&self.folders, MAX_ENTRIES)),
        }
    }
}

/// Symbolic links are not followed, and a file with several names counts once.
fn disk(folders: &[PathBuf], most: usize) -> Disk {
    let begun = Instant::now();
    let is_inside =
        |folder: &&PathBuf| folders.iter().any(|other| *folder != other && folder.starts_with(other));
    let mut todo: Vec<PathBuf> = folders.iter().filter(|folder| !is_inside(folder)).cloned().collect();
    let (mut bytes, mut entries, mut is_whole, mut linked) = (0u64, 0, true, BTreeSet::new());
    while let Some(folder) = todo.pop() {
        let found = each(&folder, |entry| {
            entries += 1;
            if entries > most {
                return Err(io::Error::other("there are too many files"));
            }
            // One that goes meanwhile takes nothing.
            let Ok(found) = entry.metadata() else { return Ok(()) };
            if found.is_dir() {
                todo.push(entry.path());
            }
            if found.is_dir() || found.nlink() < 2 || linked.insert((found.dev(), found.ino())) {
                bytes = bytes.saturating_add(found.blocks().saturating_mul(BLOCK));
            }
            Ok(())
        });
        match found {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A guest can make a path too long to be looked at.
            Err(_) => is_whole = false,
        }
        if entries > most {
            break;
        }
    }
    Disk { bytes, is_whole, took: begun.elapsed() }
}

fn each(folder: &Path, mut look: impl FnMut(&fs::DirEntry) -> io::Result<()>) -> io::Result<()> {
    fs::read_dir(folder)?.try_for_each(|entry| look(&entry?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_are_walked_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("sub")).unwrap();
        fs::write(data.join("one"), vec![b'x'; 100_000]).unwrap();
        fs::write(data.join("sub/two"), vec![b'x'; 200_000]).unwrap();
        fs::write(folder.path().join("outside"), vec![b'x'; 4_000_000]).unwrap();
        symlink(folder.path(), data.join("link")).unwrap();
        fs::hard_link(data.join("one"), data.join("again")).unwrap();
        let seen = disk(&[data.clone(), data.join("sub")], MAX_ENTRIES);
        assert!(seen.is_whole && (300_000..400_000).contains(&seen.bytes), "{seen:?}");
        assert!(!disk(std::slice::from_ref(&data), 3).is_whole);
        let gone = disk(&[folder.path().join("gone")], MAX_ENTRIES);
        assert_eq!((gone.bytes, gone.is_whole), (0, true));
    }

    #[test]
    fn processes_that_are_gone_are_left_out() {
        let (there, gone) = (Member::Process(Pid(1)), Member::Broker(1));
        let wanted = Wanted { processes: vec![(there, std::process::id()), (gone, 0)], folders: vec![] };
        let seen = wanted.look();
        assert!(matches!(seen.memory.as_slice(), [(one, 1..)] if *one == there), "{seen:?}");
        assert_eq!(seen.disk, None);
    }
}
