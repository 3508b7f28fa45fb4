//! `hatchery dev`: `run` that follows the sources.
//!
//! ```text
//!   watch (a thread) -> a save -> load -> only files that are `live`? -> handed over ------> wish -> master reloads
//!                                   |  no, or the guest says that   \-> build -> changed? --/
//!                                   |  it needs a build
//!                                   \-- an error: shown once; what runs goes on
//! ```
//!
//! It builds and decides; how the new version takes over is the master's affair, as on SIGHUP.

mod live;
mod sources;
mod versions;
mod watch;

use std::{collections::BTreeMap, convert::Infallible, path::PathBuf, time::Instant};

use anyhow::{Context as _, bail};
use futures::FutureExt as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

use self::{
    live::{Handed, NEEDS_BUILD},
    versions::Versions,
    watch::Watch,
};
use super::{build, failure, home::Home, isolation::Isolation, run::Changes};
use crate::{
    manifest::{self, App, Overrides},
    master::{self, Wish},
};

/// Build apps, run them in the foreground, and reload them whenever their sources change
///
/// As `hatchery run`, with the guests' logs on standard error. A save of a file in an app's folder runs its
/// build commands; what they make takes over without a lost request. When something is wrong with it, that is
/// said once, and the old version goes on serving. Files that a manifest calls `live` are handed to the guest as they
/// are, which takes no build; what they belong to is built at the end. Not watched: hidden folders, target, build, node_modules, what the
/// build writes, and folders that the guest may write to.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Dev {
    /// Folders that hold a hatchery.toml, or such files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    isolation: Isolation,
}

const EXAMPLES: &str = "\
Examples:
  hatchery dev hello
  hatchery dev hello --workers 1 --listen 127.0.0.1:8080";

/// Reloads that wait for the master: it takes one after the other.
const MAX_WISHES: usize = 1;

/// The most files of a change that are named.
const MAX_NAMED: usize = 3;

/// What is followed.
struct Session {
    paths: Vec<PathBuf>,
    overrides: Overrides,
    watch: Watch,
    versions: Versions,
    /// By the folder of an app that was built or handed its sources: what was changed since then.
    changed: BTreeMap<PathBuf, Vec<PathBuf>>,
    handed: Handed,
}

impl Dev {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let home = self.home.open()?;
        let isolation = self.isolation.of(&home)?;
        let home = home.folder().to_owned();
        let watch = Watch::start(&self.paths)?;
        let (paths, overrides) = (self.paths, self.changes.overrides());
        let (versions, changed) = (Versions::default(), BTreeMap::new());
        let mut session = Session { paths, overrides, watch, versions, changed, handed: Handed::default() };
        let mut is_first = true;
        loop {
            let apps = tokio::select! {
                apps = session.first(is_first) => apps,
                done = interrupted() => return done,
            };
            is_first = false;
            let (wish, wishes) = mpsc::channel(MAX_WISHES);
            let (paths, overrides, handed) =
                (session.paths.clone(), session.overrides.clone(), session.handed.clone());
            let load = move || {
                let loaded = load(&paths, &overrides, &handed);
                async move { loaded }.boxed()
            };
            let options = master::Options {
                apps,
                home: home.clone(),
                reload: Box::new(load),
                cgroups: vec![],
                wishes: Some(wishes),
                isolation,
            };
            let ended = tokio::select! {
                ended = master::run(options) => ended,
                never = session.follow(wish) => match never {},
            };
            match ended {
                Ok(()) => return session.build_what_is_ahead().await,
                Err(error) => failure::print(&error),
            }
        }
    }
}

impl Session {
    /// The apps to start, when they could be built; until then, errors are shown and changes waited for.
    async fn first(&mut self, is_first: bool) -> Vec<App> {
        if !is_first {
            self.wait().await;
        }
        loop {
            match self.refresh().await {
                Ok(apps) => {
                    self.versions.differ(&apps);
                    return apps;
                }
                Err(error) => failure::print(&error),
            }
            self.wait().await;
        }
    }

    /// While they run: builds or hands over what changes, and wishes for a reload of what differs then.
    async fn follow(&mut self, wish: mpsc::Sender<Wish>) -> Infallible {
        loop {
            self.wait().await;
            loop {
                let begun = Instant::now();
                let Err(error) = self.renew(&wish, begun).await else { break };
                if error.to_string().contains(NEEDS_BUILD) && self.forget_handed() {
                    tracing::info!("what was saved needs a build");
                    continue;
                }
                failure::print(&error);
                tracing::warn!("nothing was reloaded; what runs goes on, and the next save is tried");
                break;
            }
        }
    }

    /// From what is on disk to what serves.
    async fn renew(&mut self, wish: &mpsc::Sender<Wish>, begun: Instant) -> anyhow::Result<()> {
        let apps = self.refresh().await?;
        let names = self.versions.differ(&apps);
        let elapsed = begun.elapsed();
        if names.is_empty() {
            tracing::info!(?elapsed, "nothing to reload: the components are the same");
            return Ok(());
        }
        tracing::info!(?elapsed, "ready to run: {}", names.join(" "));
        let (done, told) = oneshot::channel();
        // A master that ends takes no more.
        if wish.send(Wish { names, done }).await.is_err() {
            return Ok(());
        }
        if let Ok(Err(why)) = told.await
            && why.contains(NEEDS_BUILD)
        {
            bail!(why);
        }
        Ok(())
    }

    /// Lets the next refresh build what was handed over. False where nothing was.
    fn forget_handed(&mut self) -> bool {
        let before = self.changed.len();
        self.changed.retain(|folder, _| !self.handed.built(folder));
        self.changed.len() < before
    }

    /// At the end: the components on disk become those of the sources.
    async fn build_what_is_ahead(&self) -> anyhow::Result<()> {
        for app in manifest::load_all(&self.paths, &self.overrides)? {
            if self.handed.built(&app.folder) {
                tokio::select! {
                    built = build::build(&app) => built?,
                    done = interrupted() => return done,
                }
            }
        }
        Ok(())
    }

    /// Waits for a change.
    async fn wait(&mut self) {
        let changed = self.watch.changed().await;
        for (folder, files) in changed {
            let more = files.len().saturating_sub(MAX_NAMED);
            let named: Vec<_> = files.iter().take(MAX_NAMED).map(|file| file.display().to_string()).collect();
            let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
            tracing::info!("changed: {}{and_more}", named.join(", "));
            // What was never built is built as a whole.
            if let Some(changed) = self.changed.get_mut(&folder) {
                changed.extend(files);
            }
        }
    }

    /// The apps as they are on disk, built or handed over where sources changed.
    async fn refresh(&mut self) -> anyhow::Result<Vec<App>> {
        let mut apps = manifest::load_all(&self.paths, &self.overrides)?;
        self.watch.set(&apps);
        for app in &apps {
            let is_renewed = match self.changed.get(&app.folder) {
                Some(changed) if changed.is_empty() => true,
                Some(changed) => self.handed.take(app, changed).await?,
                None => false,
            };
            if !is_renewed {
                // Where it fails, the next save may still be one that needs none.
                build::build(app).await?;
                self.handed.built(&app.folder);
            }
            self.changed.insert(app.folder.clone(), Vec::new());
        }
        self.handed.apply(&mut apps);
        Ok(apps)
    }
}

/// The apps with what their guests are handed.
fn load(paths: &[PathBuf], overrides: &Overrides, handed: &Handed) -> anyhow::Result<Vec<App>> {
    let mut apps = manifest::load_all(paths, overrides)?;
    handed.apply(&mut apps);
    Ok(apps)
}

/// Ctrl-C, before there is a master that would hear it.
async fn interrupted() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
