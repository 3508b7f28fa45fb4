//! One folder of the kernel's groups that is the master's own: what it counts, and how it is left as it
//! was. `Tree` owns one, with version 1 one for each controller.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use super::{AppLimits, Controller, PROCESSES, Refused, files, has_word};

/// What the names of all groups made here begin with.
const PREFIX: &str = "hatchery-";

/// What is no app's has names that no app can have.
const MASTER: &str = "_master";
const TRIAL: &str = "_trial";

/// What a group is tried with: more than any machine has.
const ENDLESS: AppLimits = AppLimits { cpu_weight: 100, cpus: None, memory: None, tasks: 1 << 20 };
const ENDLESS_MEMORY: u64 = 1 << 50;

/// The kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A group that is ours.
#[derive(Debug)]
pub(super) struct Hierarchy {
    folder: PathBuf,
    version: Version,
    /// What it counts.
    holds: Vec<Controller>,
    /// The master has moved into a group below; version 2 only.
    leaf: Option<PathBuf>,
    /// What was switched on here for the groups below; version 2 only.
    switched_on: Vec<Controller>,
}

impl Hierarchy {
    /// Makes a cgroup ours.
    ///
    /// # Errors
    /// It can't be used. Then it is as it was.
    pub(super) fn open(folder: &Path) -> Result<Self, Refused> {
        if !folder.join("cgroup.procs").exists() {
            return Err(Refused::NoCgroup);
        }
        let controllers = folder.join("cgroup.controllers");
        let version = if controllers.exists() { Version::V2 } else { Version::V1 };
        let has = |one: &Controller| match version {
            Version::V1 => folder.join(mark(*one)).exists(),
            Version::V2 => has_word(&controllers, one.name()),
        };
        let holds: Vec<_> = Controller::ALL.into_iter().filter(has).collect();
        if holds.is_empty() {
            return Err(Refused::NoController);
        }
        // From here on its drop undoes what was done.
        let mut hierarchy =
            Self { folder: folder.to_owned(), version, holds, leaf: None, switched_on: vec![] };
        if version == Version::V2 {
            hierarchy.claim()?;
        }
        hierarchy.try_out().map_err(Refused::Unusable)?;
        if let Some(leaf) = &hierarchy.leaf {
            // The apps' shares are small beside the whole; without this it has as much as one app.
            let _ = files::prefer(leaf);
        }
        Ok(hierarchy)
    }

    /// Moves the master out of the way, and has the groups below count.
    fn claim(&mut self) -> Result<(), Refused> {
        let control = self.folder.join("cgroup.subtree_control");
        let mut off: Vec<_> =
            self.holds.iter().copied().filter(|one| !has_word(&control, one.name())).collect();
        if off.is_empty() {
            return Ok(());
        }
        let me = process::id();
        let all = fs::read_to_string(self.folder.join("cgroup.procs")).map_err(Refused::Unusable)?;
        if all.lines().any(|line| line.trim() != me.to_string()) {
            return Err(Refused::Occupied);
        }
        if !all.trim().is_empty() {
            let leaf = self.named(MASTER);
            make(&leaf).map_err(Refused::Unusable)?;
            self.leaf = Some(leaf.clone());
            add(&leaf, me).map_err(Refused::Unusable)?;
        }
        // One by one: a kernel that can't give the CPUs may still give memory.
        off.retain(|one| match fs::write(&control, format!("+{one}")) {
            Ok(()) => {
                self.switched_on.push(*one);
                false
            }
            Err(_) => true,
        });
        self.holds.retain(|one| !off.contains(one));
        if self.holds.is_empty() { Err(Refused::Occupied) } else { Ok(()) }
    }

    /// Makes a group as an app has it, and removes it again.
    fn try_out(&mut self) -> io::Result<()> {
        let trial = self.named(TRIAL);
        make(&trial)?;
        let mut last = None;
        let version = self.version;
        self.holds.retain(|one| {
            let tried = match one {
                Controller::Memory => files::limit_memory(version, &trial, ENDLESS_MEMORY),
                Controller::Cpu => files::limit_cpu(version, &trial, &ENDLESS),
                Controller::Pids => files::limit_tasks(&trial, ENDLESS.tasks),
            };
            tried.map_err(|error| last = Some(error)).is_ok()
        });
        let _ = remove(&trial);
        match last {
            Some(error) if self.holds.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn holds(&self, controller: Controller) -> bool {
        self.holds.contains(&controller)
    }

    /// Has each process a group of its own in its app's?
    pub(super) fn is_deep(&self) -> bool {
        self.version == Version::V2 || self.holds(Controller::Memory)
    }

    /// Has the groups below one of ours count memory; what else is counted, is so for the whole app.
    pub(super) fn pass_on(&self, folder: &Path) -> io::Result<()> {
        if self.version == Version::V1 || !self.holds(Controller::Memory) {
            return Ok(());
        }
        let control = folder.join("cgroup.subtree_control");
        if has_word(&control, "memory") { Ok(()) } else { fs::write(control, "+memory") }
    }

    /// Writes what an app may have, as far as this counts it. Its groups are there. One result each.
    pub(super) fn limit(&self, app: &str, limits: &AppLimits) -> Vec<io::Result<()>> {
        let folder = self.named(app);
        let write = |one: &Controller| match one {
            Controller::Memory => {
                files::limit_app_memory(self.version, &folder.join(PROCESSES), limits.memory)
            }
            Controller::Cpu => files::limit_cpu(self.version, &folder, limits),
            Controller::Pids => files::limit_tasks(&folder, limits.tasks),
        };
        let named = |one: &Controller| {
            write(one).map_err(|error| io::Error::new(error.kind(), format!("{one}: {error}")))
        };
        self.holds.iter().map(named).collect()
    }

    /// As [`super::Tree::sweep`].
    pub(super) fn sweep(&self) -> io::Result<usize> {
        let mut left = 0;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let owner = path.file_name().and_then(|name| owner(name.to_str()?));
            let is_left = owner.is_some_and(is_over) && self.leaf.as_ref() != Some(&path);
            if is_left && remove_all(&path).is_err() {
                left += 1;
            }
        }
        Ok(left)
    }

    /// A group of this master's.
    pub(super) fn named(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{PREFIX}{}-{name}", process::id()))
    }
}

impl Drop for Hierarchy {
    /// Leaves the folder as it was. What can't be undone stays for the next start.
    fn drop(&mut self) {
        let _ = self.sweep();
        for one in &self.switched_on {
            let _ = fs::write(self.folder.join("cgroup.subtree_control"), format!("-{one}"));
        }
        if let Some(leaf) = &self.leaf {
            let _ = add(&self.folder, process::id());
            let _ = remove(leaf);
        }
    }
}

/// The file by which version 1 shows that it counts this.
fn mark(controller: Controller) -> &'static str {
    match controller {
        Controller::Memory => "memory.limit_in_bytes",
        Controller::Cpu => "cpu.shares",
        Controller::Pids => "pids.max",
    }
}

/// The master whose group has this name.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// A pid is used again, in containers very soon: what has ours, and is empty, is left over too.
fn is_over(master: u32) -> bool {
    master == process::id() || !Path::new("/proc").join(master.to_string()).exists()
}

/// One of the same name is from a master before, and empty.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

pub(super) fn add(folder: &Path, os_pid: u32) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), os_pid.to_string())
}

/// A group's files go with it, so that it is an empty folder to `rmdir`.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// An app's group, with what is left in it: two more levels of groups at most.
pub(super) fn remove_all(folder: &Path) -> io::Result<()> {
    for below in folders(folder) {
        for below in folders(&below) {
            let _ = remove(&below);
        }
        let _ = remove(&below);
    }
    remove(folder)
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    // Not through links: the kernel has none here.
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
