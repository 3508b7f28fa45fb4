//! One job, from its beginning to its end. Each reads like its life.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use semver::Version;
use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};

use super::{Deployer, Job, job::Action, lag::Lag};
use crate::{
    admin::{self, Deploy, Event},
    home::{Deployed, Entry, Prepared, Record},
    ipc::store::{Answer, Bundle, TrustBy, What},
    manifest::{self, App},
    master::{
        admin::Events,
        bind::bind,
        plan::{Canary, Plan},
        release::{Code, Release, compile_all, secrets_of},
        reload::Reload,
        steps::{Step, Steps},
        store,
    },
    sys::point,
};

/// How long an address that is taken is tried again: a master that was killed leaves it within a second.
const BIND_PATIENCE: Duration = Duration::from_secs(3);

/// How often.
const BIND_PAUSE: Duration = Duration::from_millis(50);

impl Deployer {
    /// Does it, notes it in the history, and gives the last event.
    pub(super) async fn work(&self, job: &Job, events: &Events) -> anyhow::Result<Event> {
        let (begun, lag) = (Instant::now(), Lag::measure());
        let mut record = self.record(&job.app).await?;
        let mut meant = None;
        let done = match &job.action {
            Action::Deploy(deploy) => self.deploy(job, deploy, &mut record, &mut meant, events).await,
            Action::Rollback(to) => self.rollback(job, to.as_deref(), &mut record, &mut meant, events).await,
            Action::Reload => self.again(job, &mut record, &mut meant, events).await,
            Action::Scale(workers) => {
                record.workers = Some(*workers);
                self.again(job, &mut record, &mut meant, events).await
            }
            Action::Undeploy => self.undeploy(job, &mut record).await,
        };
        if let Err(error) = done {
            // What is on file is what serves; only the history grows.
            let mut record = self.record(&job.app).await?;
            record.note(entry(job, meant.as_ref(), Some(format!("{error:#}"))));
            if record.history.len() > 1 || record.deployed.is_some() || meant.is_some() {
                // On a full disk, say: what is to be heard is why the job itself failed.
                if let Err(unsaved) = self.save(&job.app, record).await {
                    tracing::warn!(app = job.app, "cannot note the failure in the history: {unsaved:#}");
                }
            }
            return Err(error);
        }
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Event::Done { elapsed_ms, loop_delay_ms: lag.longest(), loop_busy_ms: lag.longest_own() })
    }

    async fn deploy(
        &self,
        job: &Job,
        deploy: &Deploy,
        record: &mut Record,
        meant: &mut Option<Deployed>,
        events: &Events,
    ) -> anyhow::Result<()> {
        let (bundle, app) = self.look(&deploy.bundle, &job.app, TrustBy::Settings, record).await?;
        *meant = Some(deployed(&bundle));
        check_age(&bundle, record, deploy.allow_downgrade)?;
        let canary = deploy.canary.map(|admin::Canary { percent, seconds }| {
            Canary::new(percent, Duration::from_secs(seconds)).map_err(anyhow::Error::msg)
        });
        let plan = Plan { canary: canary.transpose()? };
        self.take_over(job, Candidate { bundle, app, plan }, record, events).await
    }

    async fn rollback(
        &self,
        job: &Job,
        to: Option<&str>,
        record: &mut Record,
        meant: &mut Option<Deployed>,
        events: &Events,
    ) -> anyhow::Result<()> {
        let name = &job.app;
        let to = match to {
            Some(digest) => digest.to_owned(),
            None => match record.previous() {
                Some(previous) => previous.digest,
                None => bail!("no other bundle of {name} was deployed before; see `hatchery history {name}`"),
            },
        };
        let (bundle, app) = self.look(&to, name, TrustBy::Settings, record).await?;
        *meant = Some(deployed(&bundle));
        if !record.bundles().contains(&bundle.digest) {
            bail!("{} was never deployed as {name}; use `hatchery deploy`", bundle.digest);
        }
        self.take_over(job, Candidate { bundle, app, plan: Plan::default() }, record, events).await
    }

    /// The same bundle once more.
    async fn again(
        &self,
        job: &Job,
        record: &mut Record,
        meant: &mut Option<Deployed>,
        events: &Events,
    ) -> anyhow::Result<()> {
        let name = &job.app;
        let Some(now) = record.deployed.clone() else {
            bail!("no app {name} is deployed; see `hatchery status`");
        };
        *meant = Some(now.clone());
        let trust = match job.action {
            Action::Scale(_) => TrustBy::PastWithPolicy,
            _ => TrustBy::Past,
        };
        let (bundle, app) = self.look(&now.digest, name, trust, record).await?;
        self.take_over(job, Candidate { bundle, app, plan: Plan::default() }, record, events).await
    }

    async fn undeploy(&self, job: &Job, record: &mut Record) -> anyhow::Result<()> {
        let name = &job.app;
        if record.deployed.is_none() && !self.apps().has(name) {
            bail!("no app {name} is deployed; see `hatchery status`");
        }
        // First on file: after a crash it does not come back.
        let was = record.deployed.take();
        record.workers = None;
        record.note(entry(job, was.as_ref(), None));
        self.save(name, record.clone()).await?;
        self.failed().remove(name);
        self.apps().stop(name).await;
        tracing::info!(app = name, "undeployed");
        Ok(())
    }

    /// Finds a bundle and makes an app of it, with the number of workers that is on file.
    pub(super) async fn look(
        &self,
        digest: &str,
        name: &str,
        trust: TrustBy,
        record: &Record,
    ) -> anyhow::Result<(Bundle, App)> {
        point::reach("look");
        let (digest, name, workers) = (digest.to_owned(), name.to_owned(), record.workers);
        let what = What::Look { digest, name, trust, workers };
        match store::ask(self.home().folder(), what).await? {
            Answer::Found(bundle, app) => Ok((bundle, *app)),
            _ => bail!("the store gave another answer than was asked for"),
        }
    }

    /// Compiles it, starts it, and has it serve; then it is on file.
    async fn take_over(
        &self,
        job: &Job,
        candidate: Candidate,
        record: &Record,
        events: &Events,
    ) -> anyhow::Result<()> {
        let Candidate { bundle, app, plan } = candidate;
        let name = &job.app;
        events.say(Event::Checked { digest: bundle.digest.clone(), version: bundle.version.clone() });
        point::reach("checked");
        let mut next = record.clone();
        next.deployed = Some(deployed(&bundle));
        next.note(entry(job, next.deployed.as_ref(), None));
        // Now, while a full disk harms nobody.
        let mut prepared = Some(self.prepare(name, next).await?);
        point::reach("prepared");
        let mut happens = self.start(app, plan, events).await?;
        let mut serves = false;
        loop {
            let step = match happens.recv().await {
                Some(step) => step,
                None if serves => break,
                None => bail!("{name} was stopped meanwhile"),
            };
            match step {
                Step::Starts { generation } => {
                    point::reach("starts");
                    events.say(Event::Starting { generation });
                }
                Step::Serves { generation, address } => {
                    serves = true;
                    point::reach("serves");
                    self.failed().remove(name);
                    if let Some(prepared) = prepared.take() {
                        commit(prepared).await?;
                    }
                    point::reach("on-file");
                    events.say(Event::Serving { generation, address });
                }
                Step::Healthy => {
                    point::reach("healthy");
                    events.say(Event::Healthy);
                }
                Step::Canary { percent, time } => {
                    events.say(Event::Canary { percent, seconds: time.as_secs() });
                }
                Step::Promoted { seen } => events.say(Event::Promoted { seen }),
                Step::Alone => break,
                Step::Failed(why) => bail!(why),
            }
        }
        point::reach("alone");
        Ok(())
    }

    /// Compiles an app and brings it: as a generation of the one that runs, or as the first.
    pub(super) async fn start(
        &self,
        app: App,
        plan: Plan,
        events: &Events,
    ) -> anyhow::Result<mpsc::UnboundedReceiver<Step>> {
        self.check_address(&app).await?;
        let apps = std::slice::from_ref(&app);
        let secrets = secrets_of(apps, self.home().folder()).await?.pop().unwrap_or_default();
        let codes = compile_all(apps, self.home().folder()).await?;
        for ((_, role), Code { cached, elapsed, .. }) in &codes {
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            events.say(Event::Compiled { role: *role, cached: *cached, elapsed_ms });
        }
        point::reach("compiled");
        let (steps, happens) = Steps::new();
        let name = app.name.clone();
        let listener = match &app.worker {
            Some(worker) if !self.apps().has(&name) => Some(bind_patiently(&name, worker).await?),
            _ => None,
        };
        point::reach("bound");
        let release = Release::new(app, &codes, secrets);
        if self.apps().has(&name) {
            let reload = Reload { release: Ok(release), steps, plan };
            if !self.apps().reload(&name, reload).await {
                bail!("{name} has just ended");
            }
        } else {
            self.apps().start(release, listener, steps)?;
        }
        Ok(happens)
    }

    /// No other app may have its address; the system would say so too, but not whose it is.
    async fn check_address(&self, app: &App) -> anyhow::Result<()> {
        let Some(worker) = &app.worker else { return Ok(()) };
        for other in self.apps().status().await {
            if let Some(there) = other.address.filter(|there| manifest::clash(*there, worker.listen))
                && other.name != app.name
            {
                bail!(
                    "{} is taken by the app {}, which listens on {there}; give each app a port of its own",
                    worker.listen,
                    other.name
                );
            }
        }
        Ok(())
    }

    /// Puts it on file, and returns when that will last.
    async fn save(&self, app: &str, record: Record) -> anyhow::Result<()> {
        commit(self.prepare(app, record).await?).await
    }

    async fn prepare(&self, app: &str, record: Record) -> anyhow::Result<Prepared> {
        let (home, app) = (self.home().clone(), app.to_owned());
        spawn_blocking(move || record.prepare(&home, &app)).await.context("writing a record broke")?
    }
}

async fn commit(prepared: Prepared) -> anyhow::Result<()> {
    let committed = spawn_blocking(|| prepared.commit()).await.context("writing a record broke")?;
    committed.context("cannot write a record")
}

/// A bundle that is to serve.
struct Candidate {
    bundle: Bundle,
    app: App,
    plan: Plan,
}

async fn bind_patiently(name: &str, worker: &manifest::Worker) -> anyhow::Result<std::net::TcpListener> {
    let begun = Instant::now();
    loop {
        match bind(name, worker) {
            Ok(listener) => return Ok(listener),
            Err(error) if begun.elapsed() > BIND_PATIENCE => return Err(error),
            Err(_) => sleep(BIND_PAUSE).await,
        }
    }
}

fn deployed(bundle: &Bundle) -> Deployed {
    Deployed { digest: bundle.digest.clone(), version: bundle.version.clone() }
}

fn entry(job: &Job, meant: Option<&Deployed>, failure: Option<String>) -> Entry {
    Entry {
        at: format!("{:.3}", jiff::Timestamp::now()),
        uid: job.uid,
        action: job.action.word().to_owned(),
        digest: meant.map(|meant| meant.digest.clone()),
        version: meant.map(|meant| meant.version.clone()),
        failure,
    }
}

/// An older version is more often a mistake, or an attack, than a wish.
fn check_age(bundle: &Bundle, record: &Record, allow: bool) -> anyhow::Result<()> {
    let Some(now) = &record.deployed else { return Ok(()) };
    // Versions that are no semantic versions have no order.
    let (Ok(new), Ok(old)) = (Version::parse(&bundle.version), Version::parse(&now.version)) else {
        return Ok(());
    };
    if new < old && !allow {
        return Err(anyhow!(
            "version {new} is older than {old}, which is deployed; use --allow-downgrade, or `hatchery rollback`"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_as_a_table() {
        for (old, new, allow, right) in [
            (None, "0.1.0", false, true),
            (Some("0.1.0"), "0.1.0", false, true),
            (Some("0.1.0"), "0.2.0", false, true),
            (Some("0.2.0"), "0.1.9", false, false),
            (Some("0.10.0"), "0.9.0", false, false),
            (Some("0.2.0"), "0.1.9", true, true),
            (Some("1.0.0"), "1.0.0-rc.1", false, false),
            (Some("monday"), "0.1.0", false, true),
            (Some("0.1.0"), "monday", false, true),
        ] {
            let bundle = Bundle {
                digest: String::new(),
                name: String::new(),
                version: new.to_owned(),
                signer: None,
                bytes: 0,
            };
            let deployed = old.map(|old| Deployed { digest: String::new(), version: old.to_owned() });
            let record = Record { deployed, ..Record::default() };
            assert_eq!(check_age(&bundle, &record, allow).is_ok(), right, "{old:?} -> {new}");
        }
    }
}
