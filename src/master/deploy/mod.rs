//! Deploys: from what the user asks for to what serves, and to the record of it.
//!
//! ```text
//!   job: look (a storekeeper: is it whole, may it?) -> compile -> beside the old one, or the first
//!        -> serves: on file, synced -> alone: done
//!          \-- any failure: in the history; what was there goes on
//!   restore: the same from the records, at the start
//! ```
//!
//! `admin` and `serve` call it. One job at a time for each app.

mod bring;
mod job;
mod lag;
mod restore;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, bail};
use hyper::body::Incoming;
use tokio::sync::Notify;

pub(super) use job::{Action, Job};

use super::{admin::Events, apps::Apps, status::AppStatus, store};
use crate::{
    admin::{self, Event, FailedApp, Prune, Pruned, Verified},
    home::{Home, Record, Settings},
    ipc::store::{Answer, Bundle, What},
};

/// All that deploys need. Clones are the same one.
#[derive(Clone)]
pub(super) struct Deployer(Arc<Inner>);

struct Inner {
    home: Home,
    apps: Apps,
    /// The apps with which something is being done.
    busy: Mutex<BTreeSet<String>>,
    /// The apps that should run and don't, and why.
    failed: Mutex<BTreeMap<String, String>>,
    /// Told when the master is to stop.
    stop: Notify,
}

/// An app is this job's alone.
struct Turn {
    deployer: Deployer,
    app: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.deployer.busy().remove(&self.app);
    }
}

impl Deployer {
    pub(super) fn new(home: Home, apps: Apps) -> Self {
        let (busy, failed) = Default::default();
        Self(Arc::new(Inner { home, apps, busy, failed, stop: Notify::new() }))
    }

    fn home(&self) -> &Home {
        &self.0.home
    }

    fn apps(&self) -> &Apps {
        &self.0.apps
    }

    fn busy(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, app: &str) -> anyhow::Result<Turn> {
        if !self.busy().insert(app.to_owned()) {
            bail!("something else is being done with {app}; wait for its end, or see `hatchery status`");
        }
        Ok(Turn { deployer: self.clone(), app: app.to_owned() })
    }

    /// Starts a job. It goes on to its end whoever listens.
    pub(super) fn begin(&self, job: Job, events: Events) -> anyhow::Result<()> {
        let turn = self.turn(&job.app)?;
        let deployer = self.clone();
        tokio::spawn(async move {
            let last = match deployer.work(&job, &events).await {
                Ok(done) => done,
                Err(error) => {
                    let reason = format!("{error:#}");
                    tracing::error!(app = job.app, action = job.action.word(), "failed: {reason}");
                    Event::Failed { reason }
                }
            };
            // The next one may begin when the client hears of this one's end.
            drop(turn);
            events.say(last);
        });
        Ok(())
    }

    /// The master is to stop.
    pub(super) fn stop(&self) {
        self.0.stop.notify_one();
    }

    /// Returns when somebody wants it to.
    pub(super) async fn stopped(&self) {
        self.0.stop.notified().await;
    }

    /// How everything is.
    pub(super) async fn status(&self) -> admin::Status {
        let apps: Vec<AppStatus> = self.apps().status().await;
        let shown =
            |(name, reason): (&String, &String)| FailedApp { name: name.clone(), reason: reason.clone() };
        let failed = self.failed().iter().map(shown).collect();
        admin::Status {
            hatchery: env!("CARGO_PKG_VERSION").to_owned(),
            os_pid: std::process::id(),
            home: self.home().folder().display().to_string(),
            apps,
            failed,
        }
    }

    /// What is on file of an app.
    pub(super) async fn record(&self, app: &str) -> anyhow::Result<Record> {
        let (home, app) = (self.home().clone(), app.to_owned());
        tokio::task::spawn_blocking(move || Record::load(&home, &app))
            .await
            .context("reading a record broke")?
    }

    async fn records(&self) -> anyhow::Result<BTreeMap<String, Record>> {
        let home = self.home().clone();
        let load = move || {
            let names = Record::names(&home)?;
            names.into_iter().map(|name| Record::load(&home, &name).map(|record| (name, record))).collect()
        };
        tokio::task::spawn_blocking(load).await.context("reading the records broke")?
    }

    /// Takes in a bundle.
    pub(super) async fn add(&self, archive: Incoming) -> anyhow::Result<admin::Bundle> {
        match store::add(self.home().folder(), archive).await? {
            Answer::Added(bundle) => Ok(shown(bundle, &self.records().await?)),
            _ => bail!("the store gave another answer than was asked for"),
        }
    }

    /// The bundles that there are.
    pub(super) async fn bundles(&self) -> anyhow::Result<Vec<admin::Bundle>> {
        let records = self.records().await?;
        match store::ask(self.home().folder(), What::List).await? {
            Answer::List(bundles) => Ok(bundles.into_iter().map(|bundle| shown(bundle, &records)).collect()),
            _ => bail!("the store gave another answer than was asked for"),
        }
    }

    /// Removes bundles that nothing needs.
    pub(super) async fn prune(&self, prune: Prune) -> anyhow::Result<Pruned> {
        // What is being deployed may not be on file yet.
        if let Some(app) = self.busy().first() {
            bail!("something is being done with {app}; prune after that");
        }
        let keep = match prune.keep {
            Some(keep) => keep,
            None => Settings::load(self.home())?.keep,
        };
        let records = self.records().await?;
        let kept = |record: &Record| {
            let others = if record.deployed.is_some() { keep.saturating_add(1) } else { keep };
            record.bundles().into_iter().take(others)
        };
        let keep = records.values().flat_map(kept).collect();
        match store::ask(self.home().folder(), What::Prune { keep }).await? {
            Answer::Pruned(pruned) => Ok(pruned),
            _ => bail!("the store gave another answer than was asked for"),
        }
    }

    /// Reads the whole store again.
    pub(super) async fn verify(&self) -> anyhow::Result<Verified> {
        match store::ask(self.home().folder(), What::Verify).await? {
            Answer::Verified(verified) => Ok(verified),
            _ => bail!("the store gave another answer than was asked for"),
        }
    }
}

fn shown(bundle: Bundle, records: &BTreeMap<String, Record>) -> admin::Bundle {
    let is_deployed =
        |record: &Record| record.deployed.as_ref().is_some_and(|now| now.digest == bundle.digest);
    let deployed_as = records.iter().filter(|(_, record)| is_deployed(record));
    let deployed_as = deployed_as.map(|(app, _)| app.clone()).collect();
    admin::Bundle { bundle, deployed_as }
}
