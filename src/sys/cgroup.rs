//! Control groups: the kernel's own limits, of each process and of all processes of an app together.
//!
//! ```text
//!   FOLDER                            named by the user, or delegated to this master: a Hierarchy
//!     hatchery-MASTER-_master         version 2: the master itself. There a group that has groups
//!                                     with controllers may not have processes of its own
//!     hatchery-MASTER-cache           an app: its share of the CPUs, its cap on them, its tasks
//!       processes                     its memory (`app-memory`)
//!         worker-2                    one process and its memory: a Group
//!       compiler-5                    works for the app, but is not one of its processes
//! ```
//!
//! Version 2 of the kernel's interface has one hierarchy for everything, version 1 one for each
//! controller: there a [`Tree`] has several, and where nothing counts memory an app's processes are in
//! its group themselves.
//!
//! `master::groups` calls it. It writes a few small files of the kernel, and touches no folder but
//! those with such names.

mod files;
mod hierarchy;
mod own;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use self::hierarchy::{Hierarchy, Version, make, remove, remove_all};
pub use self::own::delegated;

/// Of an app's group, the one whose memory is the app's.
const PROCESSES: &str = "processes";

/// What a group can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Memory.
    Memory,
    /// Shares of the CPUs, and a cap on them.
    Cpu,
    /// The number of processes and threads.
    Pids,
}

impl Controller {
    /// All that are used here.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// As the kernel calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no `cgroup.procs`.
    #[error("it is no cgroup: it has no cgroup.procs")]
    NoCgroup,
    /// Nothing there is of use.
    #[error("it counts neither memory, cpu nor pids; name one that has such a controller")]
    NoController,
    /// It would be counted twice.
    #[error("another one that is named has the {0} controller already; name one for each controller")]
    Twice(Controller),
    /// The kernel gives no controllers to groups below one that has processes.
    #[error("there are other processes in it; name one that has none")]
    Occupied,
    /// Most often: it belongs to another user.
    #[error("no group for a process can be made in it: {0}")]
    Unusable(#[source] io::Error),
}

/// What an app may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppLimits {
    /// Its share where CPUs are short, 1 to 100. As a weight of version 2 it is this number, of which a
    /// group has 100 by itself; of version 1 so many hundredths of 1024, which is the same.
    pub cpu_weight: u32,
    /// The most that it gets of CPUs, in hundredths of one. `None`: all.
    pub cpus: Option<u32>,
    /// Of its processes together, in bytes. `None`: any.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub tasks: u64,
}

/// Who gets a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Whose it is. Of `a-z`, `0-9` and `-`.
    pub app: String,
    /// What it is called in the app: `worker-2`. Nobody else of the app has this name.
    pub name: String,
    /// What it may have of memory, in bytes. `None`: it is not one of the app's processes, and has limits
    /// of its own.
    pub memory: Option<u64>,
    /// What the app may have, and which of its generations says so: the latest holds.
    pub limits: (u64, AppLimits),
}

/// Groups that are ours, and below which each app gets its own.
#[derive(Debug, Default)]
pub struct Tree {
    hierarchies: Vec<Hierarchy>,
    apps: Mutex<BTreeMap<String, App>>,
}

/// An app that has members.
#[derive(Debug)]
struct App {
    members: usize,
    /// What was written. `None`: that failed.
    limits: Option<(u64, AppLimits)>,
}

impl Tree {
    /// Makes a cgroup ours.
    ///
    /// # Errors
    /// It can't be used. Then it is as it was.
    pub fn take(&mut self, folder: &Path) -> Result<(), Refused> {
        let hierarchy = Hierarchy::open(folder)?;
        if let Some(twice) = Controller::ALL.into_iter().find(|one| hierarchy.holds(*one) && self.holds(*one))
        {
            return Err(Refused::Twice(twice));
        }
        self.hierarchies.push(hierarchy);
        Ok(())
    }

    /// Does one of them count this?
    #[must_use]
    pub fn holds(&self, controller: Controller) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.holds(controller))
    }

    /// Removes what masters that are gone have left. Gives how many are still there, since their
    /// processes have not quite ended.
    ///
    /// # Errors
    /// The system's own.
    pub fn sweep(&self) -> io::Result<usize> {
        self.hierarchies.iter().map(Hierarchy::sweep).sum()
    }

    /// Makes a group for a process, and what is around it. An app's limits that can't be written are in
    /// [`Group::unheld`].
    ///
    /// # Errors
    /// The system's own.
    pub fn join(self: &Arc<Self>, member: &Member) -> io::Result<Group> {
        let mut apps = self.apps();
        let app = apps.entry(member.app.clone()).or_insert(App { members: 0, limits: None });
        app.members += 1;
        // From here on its drop takes it out again.
        let mut group = Group {
            tree: Arc::downgrade(self),
            app: member.app.clone(),
            own: vec![],
            memory: None,
            places: vec![],
            unheld: None,
        };
        let joined = self.hierarchies.iter().try_for_each(|one| group.enter(one, member));
        let is_newer = app.limits.is_none_or(|held| member.limits.0 >= held.0 && member.limits != held);
        if joined.is_ok() && is_newer {
            let mut write = self.hierarchies.iter().flat_map(|one| one.limit(&member.app, &member.limits.1));
            group.unheld = write.find_map(Result::err);
            app.limits = group.unheld.is_none().then_some(member.limits);
        }
        // It takes the lock itself.
        drop(apps);
        joined.map(|()| group)
    }

    /// Nothing panics under the lock.
    fn apps(&self) -> MutexGuard<'_, BTreeMap<String, App>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One less.
    fn left(&self, name: &str) {
        let mut apps = self.apps();
        let Some(app) = apps.get_mut(name) else { return };
        app.members = app.members.saturating_sub(1);
        if app.members > 0 {
            return;
        }
        apps.remove(name);
        for hierarchy in &self.hierarchies {
            // What is not empty yet is swept when the tree is dropped.
            let _ = remove_all(&hierarchy.named(name));
        }
    }
}

/// One process's own. Removed when dropped, which is to be after the process's end.
#[derive(Debug)]
pub struct Group {
    tree: Weak<Tree>,
    app: String,
    /// The folders that are its own.
    own: Vec<PathBuf>,
    /// The one of those that counts memory.
    memory: Option<(Version, PathBuf)>,
    /// Where its process goes.
    places: Vec<PathBuf>,
    /// Which of the app's limits could not be written.
    unheld: Option<io::Error>,
}

/// Whose memory it was that was not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOf {
    /// The process's own.
    Process,
    /// The app's.
    App,
}

impl Group {
    /// Its folders of one hierarchy.
    fn enter(&mut self, hierarchy: &Hierarchy, member: &Member) -> io::Result<()> {
        let app = hierarchy.named(&member.app);
        make(&app)?;
        if !hierarchy.is_deep() {
            self.places.push(app);
            return Ok(());
        }
        hierarchy.pass_on(&app)?;
        let above = app.join(PROCESSES);
        // So that the app's memory has a group, whoever comes first.
        make(&above)?;
        hierarchy.pass_on(&above)?;
        let own = if member.memory.is_some() { above } else { app }.join(&member.name);
        make(&own)?;
        self.own.push(own.clone());
        self.places.push(own.clone());
        if hierarchy.holds(Controller::Memory)
            && let Some(bytes) = member.memory
        {
            files::limit_memory(hierarchy.version(), &own, bytes)?;
            self.memory = Some((hierarchy.version(), own));
        }
        Ok(())
    }

    /// Puts a process in, with all its threads. Memory that it already has counts where it was.
    ///
    /// # Errors
    /// The system's own; the process is gone.
    pub fn add(&self, os_pid: u32) -> io::Result<()> {
        self.places.iter().try_for_each(|place| hierarchy::add(place, os_pid))
    }

    /// Why not all of the app's limits hold.
    #[must_use]
    pub fn unheld(&self) -> Option<&io::Error> {
        self.unheld.as_ref()
    }

    /// Is its memory counted?
    #[must_use]
    pub fn counts_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Where the kernel has killed its process since there was no more memory for it: whose was short.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<OutOf> {
        let (version, folder) = self.memory.as_ref()?;
        files::out_of_memory(*version, folder)
    }
}

impl Drop for Group {
    /// What is not empty yet is swept when the tree is dropped.
    fn drop(&mut self) {
        for folder in &self.own {
            let _ = remove(folder);
        }
        if let Some(tree) = self.tree.upgrade() {
            tree.left(&self.app);
        }
    }
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|one| one == word))
}

#[cfg(test)]
mod tests;
