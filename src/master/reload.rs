//! SIGHUP: what is on disk now becomes the apps' next generation, or is refused with a reason.
//!
//! ```text
//!   SIGHUP -> load (manifests, builds) -> compile, app by app -> app: a release, or why there is none
//! ```
//!
//! `run` owns it. It starts and stops nothing: what becomes of a release is `app`'s affair.

use std::{collections::HashSet, path::PathBuf};

use futures::future::BoxFuture;
use tokio::signal::unix::Signal;

use super::{
    apps::Apps,
    plan::Plan,
    release::{Release, compile_all, secrets_of},
    steps::Steps,
};
use crate::manifest::App;

/// Reads the manifests that the master was started with, and checks them.
pub type Load = Box<dyn Fn() -> BoxFuture<'static, anyhow::Result<Vec<App>>> + Send + Sync>;

/// What an app is told.
pub(super) struct Reload {
    /// What it is to be from now on, or why it can't be.
    pub(super) release: Result<Release, String>,
    /// Who wants to know what becomes of it.
    pub(super) steps: Steps,
    /// How it is to take over.
    pub(super) plan: Plan,
}

/// What reloading needs.
pub(super) struct Reloads {
    /// From disk to apps.
    pub(super) load: Load,
    /// As the master's.
    pub(super) home: PathBuf,
    /// Of the apps that it is for.
    pub(super) names: Vec<String>,
    /// Where they are.
    pub(super) apps: Apps,
}

impl Reloads {
    /// Never ends. Signals that come during a reload make one more after it.
    pub(super) async fn run(self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            tracing::info!("reloading");
            self.once().await;
        }
        std::future::pending::<()>().await;
    }

    async fn once(&self) {
        let mut loaded = match (self.load)().await {
            Ok(loaded) => loaded,
            Err(error) => {
                for name in &self.names {
                    self.tell(name, Err(format!("{error:#}"))).await;
                }
                return;
            }
        };
        for name in &self.names {
            let Some(at) = loaded.iter().position(|app| app.name == *name) else {
                let why = "no manifest has its name any more; restart hatchery to run other apps";
                self.tell(name, Err(why.to_owned())).await;
                continue;
            };
            let app = loaded.remove(at);
            let release = self.release(app).await.map_err(|error| format!("{error:#}"));
            self.tell(name, release).await;
        }
        let names: HashSet<&str> = loaded.iter().map(|app| app.name.as_str()).collect();
        for name in names {
            tracing::warn!("{name} is new, and is not started by a reload; restart hatchery to run it");
        }
    }

    async fn release(&self, app: App) -> anyhow::Result<Release> {
        let apps = std::slice::from_ref(&app);
        let secrets = secrets_of(apps, &self.home).await?.pop().unwrap_or_default();
        let codes = compile_all(apps, &self.home).await?;
        Ok(Release::new(app, &codes, secrets))
    }

    /// An app that has ended needs nothing. What becomes of it is in the log.
    async fn tell(&self, name: &str, release: Result<Release, String>) {
        let _ =
            self.apps.reload(name, Reload { release, steps: Steps::new().0, plan: Plan::default() }).await;
    }
}
