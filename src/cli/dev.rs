//! `hatchery dev`: `run` that follows the sources.
//!
//! ```text
//!   watch (a thread) -> a save -> load, build -> did manifest or component change? -> wish -> master reloads
//!                                   \-- an error: shown once; what runs goes on
//! ```
//!
//! It builds and decides; how the new version takes over is the master's affair, as on SIGHUP.

mod sources;
mod versions;
mod watch;

use std::{collections::BTreeSet, convert::Infallible, path::PathBuf, time::Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use self::{versions::Versions, watch::Watch};
use super::{build, failure, home::Home, run::Changes};
use crate::{
    manifest::{self, App, Overrides},
    master,
};

/// Build apps, run them in the foreground, and reload them whenever their sources change
///
/// As `hatchery run`, with the guests' logs on standard error. A save of a file in an app's folder runs its
/// build commands; what they make takes over without a lost request. When something is wrong with it, that is
/// said once, and the old version goes on serving. Not watched: hidden folders, target, build, node_modules, what the
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
    /// Folders of the apps that were built since the last change of their sources.
    built: BTreeSet<PathBuf>,
}

impl Dev {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let home = self.home.open()?.folder().to_owned();
        let watch = Watch::start(&self.paths)?;
        let (paths, overrides) = (self.paths, self.changes.overrides());
        let (versions, built) = (Versions::default(), BTreeSet::new());
        let mut session = Session { paths, overrides, watch, versions, built };
        let mut is_first = true;
        loop {
            let apps = tokio::select! {
                apps = session.first(is_first) => apps,
                done = interrupted() => return done,
            };
            is_first = false;
            let (wish, wishes) = mpsc::channel(MAX_WISHES);
            let (paths, overrides) = (session.paths.clone(), session.overrides.clone());
            let load = move || {
                let loaded = manifest::load_all(&paths, &overrides).map_err(Into::into);
                async move { loaded }.boxed()
            };
            let options = master::Options {
                apps,
                home: home.clone(),
                reload: Box::new(load),
                cgroup: None,
                wishes: Some(wishes),
            };
            let ended = tokio::select! {
                ended = master::run(options) => ended,
                never = session.follow(wish) => match never {},
            };
            match ended {
                Ok(()) => return Ok(()),
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

    /// While they run: builds what changes, and wishes for a reload of what differs then.
    async fn follow(&mut self, wish: mpsc::Sender<Vec<String>>) -> Infallible {
        loop {
            self.wait().await;
            let begun = Instant::now();
            match self.refresh().await {
                Ok(apps) => {
                    let names = self.versions.differ(&apps);
                    let elapsed = begun.elapsed();
                    if names.is_empty() {
                        tracing::info!(?elapsed, "nothing to reload: the components are the same");
                    } else {
                        tracing::info!(?elapsed, "built {}", names.join(" "));
                        // A master that ends takes no more.
                        let _ = wish.send(names).await;
                    }
                }
                Err(error) => {
                    failure::print(&error);
                    tracing::warn!("nothing was reloaded; what runs goes on, and the next save is tried");
                }
            }
        }
    }

    /// Waits for a change.
    async fn wait(&mut self) {
        let changed = self.watch.changed().await;
        for (folder, files) in changed {
            let more = files.len().saturating_sub(MAX_NAMED);
            let named: Vec<_> = files.iter().take(MAX_NAMED).map(|file| file.display().to_string()).collect();
            let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
            tracing::info!("changed: {}{and_more}", named.join(", "));
            self.built.remove(&folder);
        }
    }

    /// The apps as they are on disk, built where sources changed.
    async fn refresh(&mut self) -> anyhow::Result<Vec<App>> {
        let apps = manifest::load_all(&self.paths, &self.overrides)?;
        self.watch.set(&apps);
        for app in &apps {
            if !self.built.contains(&app.folder) {
                build::build(app).await?;
                self.built.insert(app.folder.clone());
            }
        }
        Ok(apps)
    }
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
