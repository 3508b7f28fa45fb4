//! One job, from its beginning to its end. Each kind reads like its life; how a bundle is brought is
//! `bring`'s affair. `begin` calls it, one job at a time for each app.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use semver::Version;
use tokio::task::spawn_blocking;

use super::{Deployer, Job, job::Action, lag::Lag, turns::Turn};
use crate::{
    admin::{self, Deploy, Event},
    home::{Deployed, Entry, Prepared, Record},
    ipc::store::{Bundle, TrustBy},
    manifest::App,
    master::{
        admin::Events,
        plan::{Canary, Plan},
        steps::Step,
    },
    sys::point,
};

impl Deployer {
    /// Does it, notes it in the history, and gives the last event.
    pub(super) async fn work(&self, job: &Job, turn: &Turn, events: &Events) -> anyhow::Result<Event> {
        let (begun, lag) = (Instant::now(), Lag::measure());
        let record = self.record(&job.app).await?;
        let mut work = Work { deployer: self, job, turn, events, lag, record, meant: None };
        if let Err(error) = work.run().await {
            work.note_failure(&error).await?;
            return Err(error);
        }
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (loop_delay_ms, loop_busy_ms) = (work.lag.longest(), work.lag.longest_own());
        Ok(Event::Done { elapsed_ms, loop_delay_ms, loop_busy_ms })
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

/// A job under way.
struct Work<'a> {
    deployer: &'a Deployer,
    job: &'a Job,
    /// As long as it has that, the app is its own.
    turn: &'a Turn,
    /// To whom it says what happens.
    events: &'a Events,
    lag: Lag,
    /// What was on file when it began, with what the job itself changes.
    record: Record,
    /// The bundle that it is about, once that is known.
    meant: Option<Deployed>,
}

/// A bundle that is to serve.
struct Candidate {
    bundle: Bundle,
    app: App,
    plan: Plan,
}

impl Work<'_> {
    async fn run(&mut self) -> anyhow::Result<()> {
        match &self.job.action {
            Action::Deploy(deploy) => self.deploy(deploy).await,
            Action::Rollback(to) => self.roll_back(to.as_deref()).await,
            Action::Reload => self.again().await,
            Action::Scale(workers) => {
                self.record.workers = Some(*workers);
                self.again().await
            }
            Action::Undeploy => self.undeploy().await,
        }
    }

    async fn deploy(&mut self, deploy: &Deploy) -> anyhow::Result<()> {
        let (bundle, app) = self.look(&deploy.bundle, TrustBy::Settings).await?;
        check_age(&bundle, &self.record, deploy.allow_downgrade)?;
        let canary = deploy.canary.map(|admin::Canary { percent, seconds }| {
            Canary::new(percent, Duration::from_secs(seconds)).map_err(anyhow::Error::msg)
        });
        let plan = Plan { canary: canary.transpose()? };
        self.take_over(Candidate { bundle, app, plan }).await
    }

    async fn roll_back(&mut self, to: Option<&str>) -> anyhow::Result<()> {
        let name = &self.job.app;
        let to = match to {
            Some(digest) => digest.to_owned(),
            None if self.has_ended_another() => return self.say_what_serves().await,
            None => match self.record.previous() {
                Some(previous) => previous.digest,
                None => bail!("no other bundle of {name} was deployed before; see `hatchery history {name}`"),
            },
        };
        let (bundle, app) = self.look(&to, TrustBy::Settings).await?;
        if !self.record.bundles().contains(&bundle.digest) {
            bail!("{} was never deployed as {name}; use `hatchery deploy`", bundle.digest);
        }
        self.take_over(Candidate { bundle, app, plan: Plan::default() }).await
    }

    /// Did another version have to end for this job, one that did not serve yet? Then that is all that is to be
    /// taken back.
    fn has_ended_another(&self) -> bool {
        let failed = self.record.history.last().is_some_and(|last| last.failure.is_some());
        failed && self.turn.instead_of().is_some_and(|what| matches!(what, "deploy" | "rollback"))
    }

    async fn say_what_serves(&self) -> anyhow::Result<()> {
        let running = self.deployer.apps().unmeasured().await;
        let Some(app) = running.iter().find(|app| app.name == self.job.app) else {
            return Err(self.not_deployed());
        };
        self.events.say(Event::Serving { generation: app.generation, address: app.address });
        Ok(())
    }

    /// The same bundle once more.
    async fn again(&mut self) -> anyhow::Result<()> {
        let Some(now) = self.record.deployed.clone() else { return Err(self.not_deployed()) };
        let digest = now.digest.clone();
        self.meant = Some(now);
        let trust = match self.job.action {
            Action::Scale(_) => TrustBy::PastWithPolicy,
            Action::Deploy(_) | Action::Rollback(_) | Action::Reload | Action::Undeploy => TrustBy::Past,
        };
        let (bundle, app) = self.look(&digest, trust).await?;
        self.take_over(Candidate { bundle, app, plan: Plan::default() }).await
    }

    async fn undeploy(&mut self) -> anyhow::Result<()> {
        let (deployer, name) = (self.deployer, &self.job.app);
        if self.record.deployed.is_none() && !deployer.apps().has(name) {
            return Err(self.not_deployed());
        }
        // First on file: after a crash it does not come back.
        let was = self.record.deployed.take();
        self.record.workers = None;
        self.record.note(entry(self.job, was.as_ref(), None));
        deployer.save(name, self.record.clone()).await?;
        deployer.failed().remove(name);
        deployer.apps().stop(name).await;
        tracing::info!(app = name, "undeployed");
        Ok(())
    }

    fn not_deployed(&self) -> anyhow::Error {
        anyhow!("no app {} is deployed; see `hatchery status`", self.job.app)
    }

    /// Finds a bundle: from now on the job is about it.
    async fn look(&mut self, digest: &str, trust: TrustBy) -> anyhow::Result<(Bundle, App)> {
        let looking = self.deployer.look(digest, &self.job.app, trust, &self.record);
        let (bundle, app) = self.unless_cancelled(looking).await?;
        self.meant = Some(deployed(&bundle));
        self.deployer.meant_by_app().insert(self.job.app.clone(), bundle.digest.clone());
        Ok((bundle, app))
    }

    /// Compiles it, starts it, and has it serve; then it is on file.
    async fn take_over(&self, candidate: Candidate) -> anyhow::Result<()> {
        let Candidate { bundle, app, plan } = candidate;
        let (deployer, events, name) = (self.deployer, self.events, &self.job.app);
        events.say(Event::Checked { digest: bundle.digest.clone(), version: bundle.version.clone() });
        point::reach("checked");
        let mut next = self.record.clone();
        next.deployed = Some(deployed(&bundle));
        next.note(entry(self.job, next.deployed.as_ref(), None));
        // Now, while a full disk harms nobody.
        let mut prepared = Some(deployer.prepare(name, next).await?);
        point::reach("prepared");
        // It ends with what makes it begin: cancelled, it has not begun.
        let mut happens = self.unless_cancelled(deployer.start(app, plan, events)).await?;
        let (mut serves, mut is_cancelled) = (false, false);
        while !(serves && is_cancelled) {
            let happened = tokio::select! {
                happened = happens.recv() => happened,
                why = self.turn.cancelled(), if !is_cancelled => {
                    is_cancelled = true;
                    if !serves {
                        deployer.apps().cancel(name, &why).await;
                    }
                    continue;
                }
            };
            let step = match happened {
                Some(step) => step,
                None if serves => break,
                None => bail!("{name} was stopped meanwhile"),
            };
            match step {
                Step::Starts { generation } => {
                    point::reach("starts");
                    events.say(Event::Starting { generation });
                }
                Step::Healthy => {
                    point::reach("healthy");
                    events.say(Event::Healthy);
                }
                Step::Canary { percent, time } => {
                    self.lag.stop();
                    events.say(Event::Canary { percent, seconds: time.as_secs() });
                }
                Step::Promoted { seen } => events.say(Event::Promoted { seen }),
                Step::Serves { generation, address } => {
                    serves = true;
                    point::reach("serves");
                    deployer.failed().remove(name);
                    if let Some(prepared) = prepared.take() {
                        commit(prepared).await?;
                    }
                    point::reach("on-file");
                    events.say(Event::Serving { generation, address });
                }
                Step::Alone => break,
                Step::Failed(why) => bail!(why),
            }
        }
        point::reach("alone");
        Ok(())
    }

    /// Does it, if nobody wants the job to end before.
    async fn unless_cancelled<T>(&self, doing: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            why = self.turn.cancelled() => bail!(why),
            done = doing => done,
        }
    }

    /// What is on file is what serves; only the history grows.
    async fn note_failure(&self, error: &anyhow::Error) -> anyhow::Result<()> {
        let name = &self.job.app;
        let mut record = self.deployer.record(name).await?;
        record.note(entry(self.job, self.meant.as_ref(), Some(format!("{error:#}"))));
        if record.history.len() > 1 || record.deployed.is_some() || self.meant.is_some() {
            // On a full disk, say: what is to be heard is why the job itself failed.
            if let Err(unsaved) = self.deployer.save(name, record).await {
                tracing::warn!(app = name, "cannot note the failure in the history: {unsaved:#}");
            }
        }
        Ok(())
    }
}

async fn commit(prepared: Prepared) -> anyhow::Result<()> {
    let committed = spawn_blocking(|| prepared.commit()).await.context("writing a record broke")?;
    committed.context("cannot write a record")
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
