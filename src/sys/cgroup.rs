//! Control groups of memory: the kernel's cap on what a process takes, kept by killing it.
//!
//! ```text
//!   FOLDER                             named by the user, or delegated to this master: a Tree
//!     hatchery-MASTER-master           version 2: the master itself. There a group that has groups
//!                                      with controllers may not have processes of its own
//!     hatchery-MASTER-cache-worker-2   one child's: a Group
//! ```
//!
//! `master::groups` calls it. It writes a few small files of the kernel, and touches no folder but
//! those with such names. Version 1 and version 2 of the kernel's interface differ in names only.

mod own;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

pub use own::delegated;

/// What the names of all groups made here begin with.
const PREFIX: &str = "hatchery-";

/// What a group is tried with: more than any machine's memory.
const ENDLESS: u64 = 1 << 50;

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no `cgroup.procs`.
    #[error("it is no cgroup: it has no cgroup.procs")]
    NoCgroup,
    /// Nothing there counts memory.
    #[error("it does not count memory; name one that has the memory controller")]
    NoMemory,
    /// The kernel gives no controllers to groups below one that has processes.
    #[error("there are other processes in it; name one that has none")]
    Occupied,
    /// Most often: it belongs to another user.
    #[error("no group for a process can be made in it: {0}")]
    Unusable(#[source] io::Error),
}

/// The kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A group that is ours, and below which each child gets its own.
#[derive(Debug)]
pub struct Tree {
    folder: PathBuf,
    version: Version,
    /// The master has moved into a group below; version 2 only.
    leaf: Option<PathBuf>,
    /// The memory controller was switched on here; version 2 only.
    switched_on: bool,
}

impl Tree {
    /// Makes a cgroup ours.
    ///
    /// # Errors
    /// It can't be used. Then it is as it was.
    pub fn open(folder: &Path) -> Result<Self, Refused> {
        if !folder.join("cgroup.procs").exists() {
            return Err(Refused::NoCgroup);
        }
        let version = if folder.join("memory.limit_in_bytes").exists() {
            Version::V1
        } else if has_word(&folder.join("cgroup.controllers"), "memory") {
            Version::V2
        } else {
            return Err(Refused::NoMemory);
        };
        // From here on its drop undoes what was done.
        let mut tree = Self { folder: folder.to_owned(), version, leaf: None, switched_on: false };
        if version == Version::V2 {
            tree.claim()?;
        }
        tree.group("trial", ENDLESS).map_err(Refused::Unusable)?;
        Ok(tree)
    }

    /// Moves the master out of the way, and has the groups below count memory.
    fn claim(&mut self) -> Result<(), Refused> {
        let control = self.folder.join("cgroup.subtree_control");
        if has_word(&control, "memory") {
            return Ok(());
        }
        let me = process::id();
        let all = fs::read_to_string(self.folder.join("cgroup.procs")).map_err(Refused::Unusable)?;
        if all.lines().any(|line| line.trim() != me.to_string()) {
            return Err(Refused::Occupied);
        }
        if !all.trim().is_empty() {
            let leaf = self.named("master");
            make(&leaf).map_err(Refused::Unusable)?;
            self.leaf = Some(leaf.clone());
            add(&leaf, me).map_err(Refused::Unusable)?;
        }
        fs::write(control, "+memory").map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => Refused::Occupied,
            _ => Refused::Unusable(error),
        })?;
        self.switched_on = true;
        Ok(())
    }

    /// Makes the group of one process, which can take so many bytes. Swap does not count as more.
    ///
    /// # Errors
    /// The system's own.
    pub fn group(&self, name: &str, bytes: u64) -> io::Result<Group> {
        let folder = self.named(name);
        make(&folder)?;
        let group = Group { folder, version: self.version };
        let (limit, others): (_, &[_]) = match self.version {
            Version::V1 => ("memory.limit_in_bytes", &[("memory.memsw.limit_in_bytes", bytes)]),
            Version::V2 => ("memory.max", &[("memory.swap.max", 0), ("memory.oom.group", 1)]),
        };
        fs::write(group.folder.join(limit), bytes.to_string())?;
        for (file, value) in others {
            // Kernels without swap don't have them.
            let _ = write_existing(&group.folder.join(file), &value.to_string());
        }
        Ok(group)
    }

    /// Removes what masters that are gone have left. Gives how many are still there, since their
    /// processes have not quite ended.
    ///
    /// # Errors
    /// The system's own.
    pub fn sweep(&self) -> io::Result<usize> {
        let mut left = 0;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let owner = path.file_name().and_then(|name| owner(name.to_str()?));
            let is_left = owner.is_some_and(|owner| self.is_over(owner)) && self.leaf.as_ref() != Some(&path);
            if is_left && remove(&path).is_err() {
                left += 1;
            }
        }
        Ok(left)
    }

    /// A pid is used again, in containers very soon: what has ours, and is empty, is left over too.
    fn is_over(&self, master: u32) -> bool {
        master == process::id() || !Path::new("/proc").join(master.to_string()).exists()
    }

    fn named(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{PREFIX}{}-{name}", process::id()))
    }
}

impl Drop for Tree {
    /// Leaves the folder as it was. What can't be undone stays for the next start.
    fn drop(&mut self) {
        let _ = self.sweep();
        if self.switched_on {
            let _ = fs::write(self.folder.join("cgroup.subtree_control"), "-memory");
        }
        if let Some(leaf) = &self.leaf {
            let _ = add(&self.folder, process::id());
            let _ = remove(leaf);
        }
    }
}

/// One process's own. Removed when dropped, which is to be after the process's end.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    version: Version,
}

impl Group {
    /// Puts a process in, with all its threads. Memory that it already has counts where it was.
    ///
    /// # Errors
    /// The system's own; the process is gone.
    pub fn add(&self, os_pid: u32) -> io::Result<()> {
        add(&self.folder, os_pid)
    }

    /// How many processes of it the kernel has killed since there was no more memory for them.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        count.unwrap_or_default()
    }
}

impl Drop for Group {
    /// What is not empty yet is swept when the tree is dropped.
    fn drop(&mut self) {
        let _ = remove(&self.folder);
    }
}

/// The master whose group has this name.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|one| one == word))
}

/// One of the same name is from a master before, and empty.
fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn add(folder: &Path, os_pid: u32) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), os_pid.to_string())
}

fn write_existing(file: &Path, text: &str) -> io::Result<()> {
    if file.exists() { fs::write(file, text) } else { Ok(()) }
}

/// A group's files go with it, so that it is an empty folder to `rmdir`.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
