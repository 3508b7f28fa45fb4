//! Says when the sources of apps change. `dev` owns it.
//!
//! ```text
//!   inotify -> any event -> a moment of quiet -> look (`sources`) -> what differs, by app
//! ```
//!
//! Events only say that it is time to look: what changed is found by looking, so that none that is lost,
//! doubled or half done matters. A thread of its own does it, since looking blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use notify::{
    Event, EventKind, INotifyWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

use super::sources::{Root, Sources};
use crate::manifest::{App, FILE_NAME};

/// So long nothing more may happen before it is looked: an editor saves in several steps.
const QUIET: Duration = Duration::from_millis(40);

/// And so long it is waited for that at most.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Changed files by the app's folder, relative to it.
pub(super) type Changed = BTreeMap<PathBuf, Vec<PathBuf>>;

/// Watches as long as it lives.
pub(super) struct Watch {
    shared: Arc<Shared>,
    /// Ends the thread's wait: there is something to do, or, when dropped, nothing any more.
    wake: SyncSender<()>,
}

#[derive(Default)]
struct Shared {
    roots: Mutex<Vec<Root>>,
    changed: Mutex<Changed>,
    notify: Notify,
}

impl Watch {
    /// Watches the folders of the manifests at `paths`, which may be wrong as yet.
    pub(super) fn start(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        // One is enough: it says to look at everything.
        let (wake, woken) = sync_channel(1);
        let events = wake.clone();
        let watcher = notify::recommended_watcher(move |event| {
            if is_relevant(&event) {
                let _ = events.try_send(());
            }
        });
        let watcher = watcher.context("cannot watch files (inotify)")?;
        *lock(&shared.roots) = paths.iter().filter_map(|path| root(path)).collect();
        let (sources, watched) = (Vec::new(), BTreeSet::new());
        let mut looking = Looking { shared: shared.clone(), watcher, sources, watched, warned: false };
        looking.take_roots();
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || looking.run(&woken))
            .context("cannot start a thread")?;
        Ok(Self { shared, wake })
    }

    /// Watches these apps from now on.
    pub(super) fn set(&self, apps: &[App]) {
        *lock(&self.shared.roots) = apps.iter().map(Root::of).collect();
        let _ = self.wake.try_send(());
    }

    /// Waits for a change.
    pub(super) async fn changed(&self) -> Changed {
        loop {
            let changed = std::mem::take(&mut *lock(&self.shared.changed));
            if !changed.is_empty() {
                return changed;
            }
            self.shared.notify.notified().await;
        }
    }
}

/// The folder of the manifest at `path`, if there is one.
fn root(path: &Path) -> Option<Root> {
    let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    let folder = match file.canonicalize() {
        Ok(file) => file.parent()?.to_owned(),
        // It may come yet.
        Err(_) => path.canonicalize().ok().filter(|path| path.is_dir())?,
    };
    Some(Root { folder, skipped: BTreeSet::new() })
}

/// Looking itself opens and reads files.
fn is_relevant(event: &notify::Result<Event>) -> bool {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => false,
            _ => true,
        },
        Err(_) => true,
    }
}

/// The thread's.
struct Looking {
    shared: Arc<Shared>,
    watcher: INotifyWatcher,
    sources: Vec<Sources>,
    /// The folders that there is a watch for.
    watched: BTreeSet<PathBuf>,
    /// It was said that not everything can be watched.
    warned: bool,
}

impl Looking {
    fn run(mut self, woken: &Receiver<()>) {
        // The watcher's own sender lives as long as this, so the other owner's end is seen at the next event.
        while woken.recv().is_ok() && Arc::strong_count(&self.shared) > 1 {
            let begun = Instant::now();
            while woken.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout) && begun.elapsed() < MAX_WAIT {}
            self.take_roots();
            self.look();
        }
    }

    /// Another set of apps, or other things to skip.
    fn take_roots(&mut self) {
        let roots = lock(&self.shared.roots).clone();
        self.sources.retain(|sources| roots.iter().any(|root| root.folder == sources.root().folder));
        for root in roots {
            let known = self.sources.iter_mut().find(|sources| sources.root().folder == root.folder);
            match known {
                Some(sources) if *sources.root() == root => {}
                Some(sources) => sources.reroot(root),
                None => self.sources.push(Sources::new(root)),
            }
        }
        self.follow_folders();
    }

    fn look(&mut self) {
        let mut changed: Changed = BTreeMap::new();
        for sources in &mut self.sources {
            let files = sources.changed();
            if !files.is_empty() {
                changed.insert(sources.root().folder.clone(), files);
            }
        }
        // What came into a new folder before it was watched is seen by the look after the next event, or
        // by this one.
        if self.follow_folders() {
            for sources in &mut self.sources {
                let files = sources.changed();
                if !files.is_empty() {
                    changed.entry(sources.root().folder.clone()).or_default().extend(files);
                }
            }
        }
        if !changed.is_empty() {
            let mut waiting = lock(&self.shared.changed);
            for (folder, files) in changed {
                waiting.entry(folder).or_default().extend(files);
            }
            drop(waiting);
            self.shared.notify.notify_one();
        }
    }

    /// Watches all folders; those that are watched too, since one may have been replaced by another of its
    /// name. True where some are new.
    fn follow_folders(&mut self) -> bool {
        let mut failed = None;
        let folders: BTreeSet<_> = self.sources.iter().flat_map(Sources::folders).cloned().collect();
        let are_new = !folders.is_subset(&self.watched);
        for folder in &folders {
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive)
                && folder.exists()
            {
                failed = Some(format!("cannot watch {}: {error}", folder.display()));
            }
        }
        self.watched = folders;
        for sources in &self.sources {
            if sources.is_cut() {
                let folder = sources.root().folder.display();
                failed = Some(format!("{folder} holds more files than are watched"));
            }
        }
        if let Some(reason) = failed.filter(|_| !self.warned) {
            self.warned = true;
            tracing::warn!("not every change will be seen: {reason}");
        }
        are_new
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Far more than it takes.
    const DEADLINE: Duration = Duration::from_secs(20);

    async fn next(watch: &Watch) -> Vec<PathBuf> {
        let changed = tokio::time::timeout(DEADLINE, watch.changed()).await.expect("is seen");
        changed.into_values().flatten().collect()
    }

    #[tokio::test]
    async fn saves_are_seen_in_old_folders_and_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "old").unwrap();
        let watch = Watch::start(&[folder.path().to_owned()]).unwrap();
        fs::write(folder.path().join("a"), "new").unwrap();
        assert_eq!(next(&watch).await, [PathBuf::from("a")]);
        // As editors do.
        fs::write(folder.path().join(".a.new"), "newer").unwrap();
        fs::rename(folder.path().join(".a.new"), folder.path().join("a")).unwrap();
        assert_eq!(next(&watch).await, [PathBuf::from("a")]);
        fs::create_dir_all(folder.path().join("deep/er")).unwrap();
        fs::write(folder.path().join("deep/er/b"), "b").unwrap();
        assert_eq!(next(&watch).await, [PathBuf::from("deep/er/b")]);
        fs::write(folder.path().join("deep/er/b"), "c").unwrap();
        assert_eq!(next(&watch).await, [PathBuf::from("deep/er/b")]);
        // Nothing was counted twice.
        assert_eq!(*lock(&watch.shared.changed), Changed::new());
    }
}
