//! SIGHUP, or a wish of `hatchery dev`: what is on disk now becomes the apps' next generation, or is refused with a reason.
//!
//! ```text
//!   SIGHUP, wish -> load (manifests, builds) -> compile, app by app -> app: a release, or why there is none
//! ```
//!
//! `run` owns it. It starts and stops nothing: what becomes of a release is `app`'s affair.

use std::{collections::HashSet, path::PathBuf};

use futures::future::BoxFuture;
use tokio::{
    signal::unix::Signal,
    sync::{
        mpsc::{self, UnboundedReceiver},
        oneshot,
    },
};

use super::{
    apps::Apps,
    plan::Plan,
    release::{Release, compile_all, secrets_of},
    steps::{Step, Steps},
};
use crate::manifest::App;

/// Reads the manifests that the master was started with, and checks them.
pub type Load = Box<dyn Fn() -> BoxFuture<'static, anyhow::Result<Vec<App>>> + Send + Sync>;

/// Come whenever some apps are to be reloaded.
pub type Wishes = mpsc::Receiver<Wish>;

/// A reload of some apps; others stay as they are.
#[derive(Debug)]
pub struct Wish {
    /// Of the apps.
    pub names: Vec<String>,
    /// Told once all of them serve, or why one does not.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// What an app is told, one after the other.
pub(super) enum Order {
    /// Be this from now on.
    Reload(Box<Reload>),
    /// Stay what you are, for this reason: what is under way is not wanted any more.
    Cancel(String),
}

/// What an app is to become.
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
    /// Never ends. Signals and wishes that come during a reload make one more after it.
    pub(super) async fn run(self, mut hangups: Signal, mut wishes: Option<Wishes>) {
        loop {
            let wished = tokio::select! {
                Some(()) = hangups.recv() => None,
                Some(wish) = next(&mut wishes) => Some(wish),
            };
            tracing::info!("reloading");
            let is_wished = |name: &&String| wished.as_ref().is_none_or(|wish| wish.names.contains(name));
            let names: Vec<_> = self.names.iter().filter(is_wished).collect();
            let told = self.once(&names).await;
            if let Some(wish) = wished {
                // Not waited for here: the next signal or wish may come first.
                tokio::spawn(async move {
                    let _ = wish.done.send(become_of(told).await);
                });
            }
        }
    }

    /// What the apps say of it.
    async fn once(&self, names: &[&String]) -> Vec<UnboundedReceiver<Step>> {
        let mut told = Vec::new();
        let mut loaded = match (self.load)().await {
            Ok(loaded) => loaded,
            Err(error) => {
                for name in names {
                    told.push(self.tell(name, Err(format!("{error:#}"))).await);
                }
                return told;
            }
        };
        for name in names {
            let Some(at) = loaded.iter().position(|app| app.name == **name) else {
                let why = "no manifest has its name any more; restart hatchery to run other apps";
                told.push(self.tell(name, Err(why.to_owned())).await);
                continue;
            };
            let app = loaded.remove(at);
            let release = self.release(app).await.map_err(|error| format!("{error:#}"));
            told.push(self.tell(name, release).await);
        }
        let new = loaded.iter().filter(|app| !self.names.contains(&app.name));
        let names: HashSet<&str> = new.map(|app| app.name.as_str()).collect();
        for name in names {
            tracing::warn!("{name} is new, and is not started by a reload; restart hatchery to run it");
        }
        told
    }

    async fn release(&self, app: App) -> anyhow::Result<Release> {
        let apps = std::slice::from_ref(&app);
        let secrets = secrets_of(apps, &self.home).await?.pop().unwrap_or_default();
        let codes = compile_all(apps, &self.home).await?;
        Ok(Release::new(app, &codes, secrets))
    }

    /// An app that has ended needs nothing. What becomes of it is in the log, too.
    async fn tell(&self, name: &str, release: Result<Release, String>) -> UnboundedReceiver<Step> {
        let (steps, told) = Steps::new();
        let _ = self.apps.reload(name, Reload { release, steps, plan: Plan::default() }).await;
        told
    }
}

/// Do they all serve?
async fn become_of(told: Vec<UnboundedReceiver<Step>>) -> Result<(), String> {
    for mut steps in told {
        loop {
            match steps.recv().await {
                Some(Step::Serves { .. } | Step::Alone) => break,
                Some(Step::Failed(why)) => return Err(why),
                Some(Step::Starts { .. } | Step::Healthy | Step::Canary { .. } | Step::Promoted { .. }) => {}
                None => return Err("the app has ended".to_owned()),
            }
        }
    }
    Ok(())
}

/// Waits for ever where there are none any more.
async fn next(wishes: &mut Option<Wishes>) -> Option<Wish> {
    let wish = match wishes {
        Some(wishes) => wishes.recv().await,
        None => None,
    };
    if wish.is_none() {
        std::future::pending::<()>().await;
    }
    wish
}
