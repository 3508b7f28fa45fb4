//! Deploys: from what the user asks for to what serves, and to the record of it.
//!
//! ```text
//!   job: look (a storekeeper: is it whole, who signed it? `found`: may it?) -> compile -> beside the old one, or the first
//!        -> serves: on file, synced -> alone: done
//!          \-- any failure: in the history; what was there goes on
//!   restore: the same from the records, at the start
//! ```
//!
//! `admin` and `serve` call it. One job at a time for each app, and none while the store is pruned (`turns`).

mod bring;
mod data;
mod found;
mod job;
mod lag;
mod prune;
mod restore;
mod turns;
mod upload;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, bail};
use tokio::sync::Notify;

pub(super) use job::{Action, Job};
pub(super) use upload::Uploads;

use self::{
    turns::{Turn, Turns},
    upload::UnderWay,
};
use super::{admin::Events, apps::Apps, helpers, measure::measured_helpers, status::AppStatus, store};
use crate::{
    admin::{self, Event, FailedApp, Verified},
    home::{Home, Record},
    ipc::store::{Answer, Bundle, What},
};

/// All that deploys need. Clones are the same one.
#[derive(Clone)]
pub(super) struct Deployer(Arc<Inner>);

struct Inner {
    home: Home,
    apps: Apps,
    turns: Turns,
    /// The apps that should run and don't, and why.
    failed: Mutex<BTreeMap<String, String>>,
    /// Told when the master is to stop.
    stop: Notify,
    /// The bundles that jobs are about, by app: no record names them yet.
    meant: Mutex<BTreeMap<String, String>>,
    uploads: UnderWay,
}

impl Deployer {
    pub(super) fn new(home: Home, apps: Apps) -> Self {
        let (turns, failed, meant, uploads) = Default::default();
        let stop = Notify::new();
        Self(Arc::new(Inner { home, apps, turns, failed, stop, meant, uploads }))
    }

    fn home(&self) -> &Home {
        &self.0.home
    }

    fn apps(&self) -> &Apps {
        &self.0.apps
    }

    fn turns(&self) -> &Turns {
        &self.0.turns
    }

    fn failed(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meant_by_app(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.meant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bundles that jobs under way are about.
    fn meant(&self) -> BTreeSet<String> {
        self.meant_by_app().values().cloned().collect()
    }

    /// Starts a job. It goes on to its end whoever listens, or until another one comes first.
    pub(super) fn begin(&self, job: Job, events: Events) -> anyhow::Result<()> {
        let turn = match self.turns().of(&job.app, job.action.word()) {
            Ok(turn) => Some(turn),
            Err(_) if job.action.comes_first() && !self.turns().are_taken() => None,
            Err(error) => return Err(error),
        };
        let deployer = self.clone();
        tokio::spawn(async move {
            let (turn, worked) = match deployer.turn(turn, &job).await {
                Ok(turn) => {
                    let worked = deployer.work(&job, &turn, &events).await;
                    deployer.meant_by_app().remove(&job.app);
                    (Some(turn), worked)
                }
                Err(error) => (None, Err(error)),
            };
            let last = match worked {
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

    /// The job's, once what is under way has ended for it.
    async fn turn(&self, turn: Option<Turn>, job: &Job) -> anyhow::Result<Turn> {
        if let Some(turn) = turn {
            return Ok(turn);
        }
        let what = job.action.word();
        let why = format!("it was ended by `{what}` (uid {})", job.uid);
        self.turns().instead(&job.app, what, &why).await
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
            helpers: measured_helpers(helpers::all()).await,
        }
    }

    /// What is on file of an app.
    pub(super) async fn record(&self, app: &str) -> anyhow::Result<Record> {
        let (home, app) = (self.home().clone(), app.to_owned());
        tokio::task::spawn_blocking(move || Record::load(&home, &app))
            .await
            .context("reading a record broke")?
    }

    /// What is on file of every app, by name. One that can't be read says so, and for itself alone.
    async fn records(&self) -> anyhow::Result<Vec<(String, anyhow::Result<Record>)>> {
        let home = self.home().clone();
        let load = move || {
            let names = Record::names(&home)?;
            let load = |name: String| {
                let record = Record::load(&home, &name);
                (name, record)
            };
            anyhow::Ok(names.into_iter().map(load).collect())
        };
        tokio::task::spawn_blocking(load).await.context("reading the records broke")?
    }

    /// The bundles that there are. An app whose record can't be read is left out, and logged.
    pub(super) async fn bundles(&self) -> anyhow::Result<Vec<admin::Bundle>> {
        let mut records = BTreeMap::new();
        for (app, record) in self.records().await? {
            match record {
                Ok(record) => {
                    records.insert(app, record);
                }
                Err(error) => tracing::warn!(app, "not shown with its bundle: {error:#}"),
            }
        }
        match store::ask(self.home().folder(), What::List).await? {
            Answer::List(bundles) => Ok(bundles.into_iter().map(|bundle| shown(bundle, &records)).collect()),
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
