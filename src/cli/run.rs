//! `hatchery run`: in the foreground, until Ctrl-C.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use anyhow::Context as _;
use futures::FutureExt as _;

use super::{build, cgroup::Cgroup, home::Home, isolation::Isolation, options::Listen};
use crate::{
    manifest::{self, App, Balance, DevWith, Overrides},
    sys::parent::die_with_parent,
};

/// Start apps and serve until Ctrl-C
///
/// Prints one line per app on standard output when it is ready: `ready app=NAME addr=HOST:PORT`.
/// Logs go to standard error. The first Ctrl-C stops in order, the second at once.
/// SIGHUP reloads: manifests and components are read again and take over without a lost request.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    /// Folders that hold a hatchery.toml, or such files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    cgroup: Cgroup,
    #[command(flatten)]
    isolation: Isolation,
    /// Ends at once when this process, its parent, is gone
    #[arg(long, hide = true, value_name = "PID")]
    parent: Option<i32>,
}

const EXAMPLES: &str = "\
Examples:
  hatchery run guests/cache
  hatchery run app --listen 127.0.0.1:0 --workers 1      any free port, one worker
  hatchery run a b --listen a=127.0.0.1:8001 --listen b=127.0.0.1:8002";

/// What the command line changes of the manifests.
#[derive(Debug, clap::Args)]
pub(super) struct Changes {
    /// Worker processes per app, instead of the manifest's number
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroU32>,
    /// Where the first app, or the one named, listens; port 0 means any free one
    #[arg(long, value_name = "[APP=]ADDR")]
    listen: Vec<Listen>,
    /// How connections are spread over workers
    #[arg(long, value_enum)]
    balance: Option<Balance>,
}

impl Changes {
    pub(super) fn overrides(self) -> Overrides {
        let listen: Vec<(Option<String>, SocketAddr)> =
            self.listen.into_iter().map(|Listen { app, addr }| (app, addr)).collect();
        Overrides { workers: self.workers, listen, balance: self.balance, dev_with: DevWith::Follow }
    }
}

impl Run {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        if let Some(parent) = self.parent {
            die_with_parent(parent).context("cannot be bound to the parent process")?;
        }
        let (paths, overrides) = (self.paths, self.changes.overrides());
        let apps = load(&paths, &overrides).await?;
        let home = self.home.open()?;
        let isolation = self.isolation.of(&home)?;
        let home = home.folder().to_owned();
        let cgroups = self.cgroup.folders();
        let reload = Box::new(move || {
            let (paths, overrides) = (paths.clone(), overrides.clone());
            async move { load(&paths, &overrides).await }.boxed()
        });
        let options = crate::master::Options { apps, home, reload, cgroups, wishes: None, isolation };
        crate::master::run(options).await
    }
}

/// The apps as they are on disk, built where that is needed; at the start, and on SIGHUP.
async fn load(paths: &[PathBuf], overrides: &Overrides) -> anyhow::Result<Vec<App>> {
    let apps = manifest::load_all(paths, overrides)?;
    for app in &apps {
        if build::needs_build(app) {
            build::build(app).await?;
        }
    }
    Ok(apps)
}
