//! What an app takes of memory and of the disk, looked at on a thread: a folder can have any number of
//! files, and a disk may be slow. `app` asks for it now and then, and judges.

mod walk;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use self::walk::{Bounds, Walk};
use crate::{cluster::Pid, sys::usage};

/// The most files and folders that are looked at. An app that has more has too many.
const MAX_ENTRIES: usize = 200_000;

/// The most folders within folders.
const MAX_DEPTH: usize = 128;

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
    /// Who may have files open that were in them, by the system's pids.
    pub(super) writers: Vec<u32>,
    /// More bytes in the folders than this are enough to know.
    pub(super) enough: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Resident bytes of each process that is still there.
    pub(super) memory: Vec<(Member, u64)>,
    /// Of the folders together, where there are any and they could be looked at.
    pub(super) disk: Option<Disk>,
}

/// What folders take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    /// On the disk, as the file system has it; also of files that are open and in no folder any more.
    pub(super) bytes: u64,
    /// All of it was seen.
    pub(super) is_whole: bool,
    /// How long that took.
    pub(super) took: Duration,
}

impl Wanted {
    /// Looks. Blocks.
    pub(super) fn look(&self) -> Seen {
        let bounds = Bounds { entries: MAX_ENTRIES, depth: MAX_DEPTH, bytes: self.enough };
        let memory = |(member, os_pid): &(Member, u32)| Some((*member, usage::of(*os_pid).ok()?.memory));
        Seen {
            memory: self.processes.iter().filter_map(memory).collect(),
            disk: if self.folders.is_empty() { None } else { disk(&self.folders, &self.writers, bounds) },
        }
    }
}

/// Also what is only open. None: this process has no room to look.
fn disk(folders: &[PathBuf], os_pids: &[u32], bounds: Bounds) -> Option<Disk> {
    let begun = Instant::now();
    let is_inside =
        |folder: &&PathBuf| folders.iter().any(|other| *folder != other && folder.starts_with(other));
    let mut walk = Walk::new(bounds);
    for folder in folders.iter().filter(|folder| !is_inside(folder)) {
        if let Err(error) = walk.folder(folder) {
            tracing::warn!("cannot look at {} now: {error}", folder.display());
            return None;
        }
    }
    os_pids.iter().for_each(|os_pid| walk.unlinked(*os_pid));
    let (bytes, is_whole) = walk.found();
    Some(Disk { bytes, is_whole, took: begun.elapsed() })
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::symlink,
    };

    use super::*;

    const ALL: Bounds = Bounds { entries: MAX_ENTRIES, depth: MAX_DEPTH, bytes: u64::MAX };

    fn look(folders: &[PathBuf], bounds: Bounds) -> Disk {
        disk(folders, &[std::process::id()], bounds).unwrap()
    }

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
        let seen = look(&[data.clone(), data.join("sub")], ALL);
        assert!(seen.is_whole && (300_000..400_000).contains(&seen.bytes), "{seen:?}");
        for bounds in [Bounds { entries: 3, ..ALL }, Bounds { depth: 1, ..ALL }] {
            assert!(!look(std::slice::from_ref(&data), bounds).is_whole, "{bounds:?}");
        }
        let seen = look(std::slice::from_ref(&data), Bounds { bytes: 1000, ..ALL });
        assert!(!seen.is_whole && seen.bytes > 1000, "{seen:?}");
        let gone = look(&[folder.path().join("gone")], ALL);
        assert_eq!((gone.bytes, gone.is_whole), (0, true));
    }

    #[test]
    fn what_is_open_and_in_no_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (data, outside) = (folder.path().join("data"), folder.path().join("outside"));
        fs::create_dir(&data).unwrap();
        let seen = || look(std::slice::from_ref(&data), ALL).bytes;
        let before = seen();
        for path in [data.join("one"), outside] {
            fs::write(&path, vec![b'x'; 2_000_000]).unwrap();
        }
        let [open, again] = [(); 2].map(|()| File::open(data.join("one")).unwrap());
        fs::remove_file(data.join("one")).unwrap();
        // Other tests have such files as well, but not of this size.
        let now = seen();
        assert!((2_000_000..3_900_000).contains(&(now - before)), "{before}, then {now}");
        drop([open, again]);
        assert!(seen() < now - 1_900_000, "it is freed");
    }

    #[test]
    fn a_path_may_be_too_long_for_a_path() {
        let temp = tempfile::tempdir().unwrap();
        let [inner, outer] = ["inner", "outer"].map(|name| temp.path().join(name));
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("file"), vec![b'x'; 100_000]).unwrap();
        // 100 folders deep, each put in the next.
        for _ in 0..100 {
            fs::create_dir(&outer).unwrap();
            fs::rename(&inner, outer.join("d".repeat(200))).unwrap();
            fs::rename(&outer, &inner).unwrap();
        }
        let seen = look(&[temp.path().to_owned()], ALL);
        assert!(seen.is_whole && (100_000..2_000_000).contains(&seen.bytes), "{seen:?}");
    }

    #[test]
    fn processes_that_are_gone_are_left_out() {
        let processes = vec![(Member::Process(Pid(1)), std::process::id()), (Member::Broker(1), 0)];
        let wanted = Wanted { processes, ..Wanted::default() };
        let seen = wanted.look();
        assert!(
            matches!(seen.memory.as_slice(), [(one, 1..)] if *one == Member::Process(Pid(1))),
            "{seen:?}"
        );
        assert_eq!(seen.disk, None);
    }
}
