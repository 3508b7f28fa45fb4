//! The cgroup of one test: of version 2 one folder, of version 1 one for each controller.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Where the kernel's groups usually are, and below it each controller's of version 1.
const ROOT: &str = "/sys/fs/cgroup";

/// What is used. Without memory, which is the first, there is no test.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// What a group of version 1 shows that it counts this.
const MARKS: [&str; 3] = ["memory.limit_in_bytes", "cpu.shares", "pids.max"];

/// Removed with its test, with what a killed master left.
pub(super) struct Own(Vec<PathBuf>);

impl Own {
    /// `None`, and a line that says so, on a machine where this user can't make one.
    pub(super) fn make() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("hatchery-e2e-{}-{}", process::id(), NUMBER.fetch_add(1, Relaxed));
        let control = fs::read_to_string(Path::new(ROOT).join("cgroup.subtree_control")).unwrap_or_default();
        let roots: Vec<PathBuf> = if control.split_whitespace().any(|one| one == CONTROLLERS[0]) {
            vec![ROOT.into()]
        } else {
            CONTROLLERS.iter().map(|one| Path::new(ROOT).join(one)).collect()
        };
        let made = roots.iter().map(|root| root.join(&name)).filter(|folder| fs::create_dir(folder).is_ok());
        // The first is to be there, the others may be.
        let own = Self(made.collect());
        let is_made = own.counts(CONTROLLERS[0]);
        if !is_made {
            eprintln!("SKIPPED: this user can't make a memory cgroup on this machine");
        }
        is_made.then_some(own)
    }

    /// Does one of them count this? Else there is a line that says so.
    pub(super) fn counts(&self, controller: &str) -> bool {
        let counts = self.find(controller).is_some();
        if !counts {
            eprintln!("SKIPPED: this user can't make a {controller} cgroup on this machine");
        }
        counts
    }

    fn find(&self, controller: &str) -> Option<&PathBuf> {
        let mark = MARKS[CONTROLLERS.iter().position(|one| *one == controller).unwrap()];
        self.0.iter().find(|folder| {
            let all = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
            folder.join(mark).exists() || all.split_whitespace().any(|one| one == controller)
        })
    }

    pub(super) fn arguments(&self) -> Vec<&str> {
        self.0.iter().flat_map(|folder| ["--cgroup", folder.to_str().unwrap()]).collect()
    }

    /// The groups of processes, as `hatchery-MASTER-APP/worker-2`.
    pub(super) fn groups(&self) -> Vec<String> {
        let memory = self.find(CONTROLLERS[0]).unwrap();
        let mut names: Vec<_> = folders(memory)
            .iter()
            .flat_map(|app| folders(&app.join("processes")).into_iter().map(|group| (app.clone(), group)))
            .map(|(app, group)| format!("{}/{}", name(&app), name(&group)))
            .collect();
        names.sort();
        names
    }

    /// The group of one process, and the pids in it.
    pub(super) fn of(&self, which: &str) -> (PathBuf, Vec<i32>) {
        let found: Vec<_> = self.groups().into_iter().filter(|name| name.contains(which)).collect();
        let [one] = found.as_slice() else { panic!("{} groups are of `{which}`: {found:?}", found.len()) };
        let (app, process) = one.split_once('/').unwrap();
        let group = self.find(CONTROLLERS[0]).unwrap().join(app).join("processes").join(process);
        let pids = pids(&group);
        (group, pids)
    }

    /// The group of an app that counts this, and the pids in it or below.
    pub(super) fn app(&self, app: &str, controller: &str) -> (PathBuf, Vec<i32>) {
        self.try_app(app, controller).unwrap_or_else(|| panic!("{app} has no {controller} group"))
    }

    /// The same, if it is there.
    pub(super) fn try_app(&self, app: &str, controller: &str) -> Option<(PathBuf, Vec<i32>)> {
        let groups = folders(self.find(controller).unwrap());
        let group = groups.into_iter().find(|group| name(group).ends_with(&format!("-{app}")))?;
        let pids = pids(&group);
        Some((group, pids))
    }

    /// Is nothing left in it?
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|folder| folders(folder).is_empty())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for folder in &self.0 {
            remove(folder);
        }
    }
}

/// The file with a group's memory limit.
pub(super) fn memory_limit(group: &Path) -> PathBuf {
    let files = ["memory.limit_in_bytes", "memory.max"].map(|file| group.join(file));
    files.into_iter().find(|file| file.exists()).expect("it has a limit")
}

/// In a group, and in those below.
fn pids(group: &Path) -> Vec<i32> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<_> = own.lines().map(|pid| pid.parse().unwrap()).collect();
    all.extend(folders(group).iter().flat_map(|below| pids(below)));
    all
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

fn remove(folder: &Path) {
    folders(folder).iter().for_each(|below| remove(below));
    let _ = fs::remove_dir(folder);
}
