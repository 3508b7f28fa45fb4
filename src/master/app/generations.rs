//! An app's generations: the one that serves, the one that is to, and those that drain.
//!
//! ```text
//!   reload -> next -> coming -ready, healthy-> (canary) -> serving -a newer one serves-> leaving -> gone
//!                        \--any failure, or worse than what serves: it is said why---------^
//! ```
//!
//! `app`'s loop owns it and calls `settle` after whatever happened. Each generation has its own
//! state, routes and children (`running`); they share pids and, mostly, the listener.

mod canary;
mod cancel;
mod kept;
mod quota;
mod report;
mod scaling;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;

use self::scaling::Scaling;
use super::{
    Demand, Spec,
    limits::Reasons,
    quota::Watch,
    running::{self, Running},
};
use crate::{
    cluster::Pid,
    ipc::counters::Snapshot,
    master::{
        children::{ChildEvent, Events},
        front::{self, Front},
        ledger::Ledger,
        listeners::Breach,
        pids::Pids,
        plan::{Canary, Plan},
        release::{Change, Release},
        reload::Reload,
        state::{Event, canary::Trial},
        steps::Steps,
        turns::Share,
    },
};

/// The most that handing out a listener's last connections takes, and of `stop-timeout` a quarter.
const HANDOUT: Duration = Duration::from_secs(1);

/// Why nothing new is started any more.
const STOPPING: &str = "the app is stopping";

/// The most generations that drain; the next reload waits for one of them.
const MAX_LEAVING: usize = 4;

pub(super) struct Generations {
    /// The last release that there was no time for yet.
    next: Option<Next>,
    /// The number of the last generation; none is used twice.
    last: u64,
    /// Starts, and is to serve.
    coming: Option<Running>,
    /// The coming one is to be a canary first.
    planned: Option<Canary>,
    /// The coming one is a canary.
    trial: Option<Trial>,
    serving: Running,
    /// It has been told to serve.
    serves: bool,
    /// There are to be more workers of what serves, or fewer.
    scaling: Option<Scaling>,
    /// Listeners that hand out their last connections; of which generation.
    closing: FuturesUnordered<BoxFuture<'static, u64>>,
    /// Drain, or could not start.
    leaving: Vec<Running>,
    /// Of generations that are gone: dropped messages and late answers.
    gone: (u64, u64),
    /// Of generations that are gone: what their children counted.
    gone_counts: Snapshot,
    /// Since when the app is to stop.
    stopping: Option<Instant>,
    // What each of them is made with.
    max_held: usize,
    pids: Pids,
    seed: u64,
    events: Events,
    breaches: mpsc::UnboundedSender<Breach>,
    connections: Share,
    /// What it takes of memory and disk.
    watch: Watch,
    /// Of generations that are gone: for which limits' sake processes went, and messages past the rate.
    gone_reasons: Reasons,
    gone_refused: u64,
}

/// A release that waits.
struct Next {
    release: Release,
    plan: Plan,
    steps: Steps,
}

impl Generations {
    /// Starts the first one.
    pub(super) fn start(
        spec: Spec,
        events: Events,
        breaches: mpsc::UnboundedSender<Breach>,
    ) -> anyhow::Result<Self> {
        let Spec { release, listener, max_held, pids, seed, steps, messages: _, connections } = spec;
        let front = listener.zip(release.app.worker.as_ref()).map(|(listener, worker)| front::Options {
            app: release.app.name.clone(),
            listener,
            balance: worker.balance,
            max_held,
            connections: connections.clone(),
        });
        let front = Front::new(front, breaches.clone())
            .with_context(|| format!("cannot use the listener of {}", release.app.name))?;
        let serving = Running::start(running::Options {
            ledger: Ledger::new(&release.app.name),
            release,
            generation: 1,
            front: Arc::new(front),
            pids: pids.clone(),
            seed,
            events: events.clone(),
            steps,
            disk_full: false,
        });
        Ok(Self {
            next: None,
            last: 1,
            coming: None,
            planned: None,
            trial: None,
            serving,
            serves: false,
            scaling: None,
            closing: FuturesUnordered::new(),
            leaving: vec![],
            gone: (0, 0),
            gone_counts: Snapshot::default(),
            stopping: None,
            max_held,
            pids,
            seed,
            events,
            breaches,
            connections,
            watch: Watch::new(Instant::now()),
            gone_reasons: Reasons::default(),
            gone_refused: 0,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Running> {
        [&self.serving].into_iter().chain(&self.coming).chain(&self.leaving)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Running> {
        [&mut self.serving].into_iter().chain(&mut self.coming).chain(&mut self.leaving)
    }

    /// No process is left, and none comes.
    pub(super) fn are_over(&self) -> bool {
        self.all().all(|generation| generation.stopped)
    }

    /// Why the app could not start.
    pub(super) fn failure(self) -> Option<String> {
        if let Some(why) = &self.serving.failure {
            self.serving.failed(why);
        }
        self.serving.failure
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let trial = self.trial.as_ref().map(Trial::deadline);
        let scaling = self.scaling.as_ref().map(Scaling::deadline);
        self.all().filter_map(Running::deadline).chain(trial).chain(scaling).min()
    }

    pub(super) fn tick(&mut self) {
        self.all_mut().for_each(Running::tick);
    }

    /// A child did something.
    pub(super) fn heard(&mut self, event: ChildEvent) {
        if let Some(its) = self.all_mut().find(|generation| generation.has(event.pid)) {
            its.heard(event);
        }
    }

    /// A worker broke the handoff's protocol.
    pub(super) fn breached(&mut self, pid: Pid, reason: String) {
        if let Some(its) = self.all_mut().find(|generation| generation.has(pid)) {
            its.step(Event::Failed { pid, reason });
        }
    }

    pub(super) fn demanded(&mut self, demand: Demand) {
        match demand {
            Demand::Run => {}
            Demand::Stop if self.stopping.is_none() => {
                let now = Instant::now();
                self.stopping = Some(now);
                self.drop_next(STOPPING);
                self.end_trial();
                if let Some(coming) = self.coming.take() {
                    coming.failed(STOPPING);
                    self.leaving.push(coming);
                }
                for generation in &mut self.leaving {
                    generation.stop(now);
                }
                self.close(&self.serving, now);
            }
            Demand::Stop => {}
            Demand::Kill => {
                self.stopping.get_or_insert_with(Instant::now);
                self.drop_next(STOPPING);
                self.end_trial();
                self.all_mut().for_each(|generation| generation.step(Event::Kill));
            }
        }
    }

    /// Nothing more comes in by its listener; [`Self::closed`] goes on from there.
    fn close(&self, generation: &Running, now: Instant) {
        let handout = HANDOUT.min(generation.release.app.limits.stop_timeout / 4);
        let done = generation.front.close(now + handout);
        let number = generation.generation;
        self.closing.push(Box::pin(async move {
            done.await;
            number
        }));
    }

    /// Waits until a listener has handed out its last connections: its workers can end then.
    pub(super) async fn closed(&mut self) {
        let Some(number) = self.closing.next().await else { return std::future::pending().await };
        if number == self.serving.generation
            && let Some(asked_at) = self.stopping
        {
            self.serving.stop(asked_at);
        } else if let Some(old) = self.leaving.iter_mut().find(|old| old.generation == number) {
            old.step(Event::Retire);
        }
    }

    /// Somebody brings a release, or says why there is none.
    pub(super) fn reload(&mut self, reload: Reload) {
        let Reload { release, steps, plan } = reload;
        match release {
            Ok(_) if self.stopping.is_some() => steps.failed(STOPPING),
            Ok(release) => {
                if self.coming.is_some() || self.leaving.len() >= MAX_LEAVING {
                    let app = &release.app.name;
                    tracing::info!("the reload of {app} waits for the one before it");
                }
                self.drop_next("another one was brought before its turn came");
                self.next = Some(Next { release, plan, steps });
            }
            Err(why) => self.refused(&why, &steps),
        }
    }

    /// What waits does not get its turn.
    fn drop_next(&mut self, why: &str) {
        if let Some(next) = self.next.take() {
            next.steps.failed(why);
        }
    }

    fn refused(&self, why: &str, steps: &Steps) {
        self.say_refused(why);
        steps.failed(why);
    }

    fn say_refused(&self, why: &str) {
        let (app, version) = (&self.serving.release.app.name, self.serving.version());
        tracing::error!("reload of {app} failed: {why}; {version} goes on serving");
    }

    /// What is to be done after whatever happened.
    pub(super) fn settle(&mut self) {
        if self.serving.is_ready && !self.serves && self.stopping.is_none() {
            self.serves = true;
            self.serving.serve();
        }
        if let Some(failed) = self.coming.take_if(|coming| coming.failure.is_some()) {
            let why = failed.failure.as_deref().unwrap_or_default();
            self.say_refused(why);
            failed.failed(why);
            self.leaving.push(failed);
        }
        if self.trial.is_some() {
            self.judge();
        } else if self.coming.as_ref().is_some_and(|coming| coming.is_ready) {
            match self.planned.take() {
                Some(canary) => self.begin_trial(canary),
                None => self.switch(),
            }
        }
        for old in self.leaving.extract_if(.., |old| old.stopped) {
            let (dropped, late) = old.losses();
            self.gone = (self.gone.0 + dropped, self.gone.1 + late);
            self.gone_counts.add(&old.counts());
            self.gone_reasons.add(&old.reasons());
            self.gone_refused += old.rate().0;
            tracing::debug!(app = old.release.app.name, generation = old.generation, "is gone");
        }
        if self.serves && self.leaving.is_empty() {
            self.serving.alone();
        }
        self.settle_scaling();
        let may_begin = self.serves && self.coming.is_none() && self.leaving.len() < MAX_LEAVING;
        if self.stopping.is_none()
            && may_begin
            && let Some(next) = self.next.take()
        {
            self.begin(next);
        }
    }

    fn begin(&mut self, next: Next) {
        let Next { release, plan, steps } = next;
        if self.serving.release.change_to(&release) == Change::Workers {
            return self.scale(release, steps);
        }
        if plan.canary.is_some()
            && let Err(why) = self.may_share(&release)
        {
            return self.refused(why, &steps);
        }
        self.planned = plan.canary;
        let front = match self.front_for(&release) {
            Ok(front) => front,
            Err(error) => return self.refused(&format!("{error:#}"), &steps),
        };
        self.last += 1;
        let generation = self.last;
        tracing::info!(app = release.app.name, generation, version = release.app.version, "starts beside");
        self.coming = Some(Running::start(running::Options {
            release,
            generation,
            front,
            pids: self.pids.clone(),
            seed: self.seed ^ generation,
            events: self.events.clone(),
            steps,
            ledger: self.serving.ledger.clone(),
            disk_full: self.watch.is_full(),
        }));
    }

    /// New connections go to the coming one from now on, and the former one drains.
    fn switch(&mut self) {
        let Some(ready) = self.coming.take() else { return };
        self.end_scaling();
        let mut old = std::mem::replace(&mut self.serving, ready);
        let new = &mut self.serving;
        old.superseded();
        new.serve();
        let (app, generation, version) = (&new.release.app.name, new.generation, &new.release.app.version);
        match new.front.address().filter(|address| old.front.address() != Some(*address)) {
            Some(address) => {
                tracing::info!("reloaded app={app} generation={generation} version={version} addr={address}");
            }
            None => tracing::info!("reloaded app={app} generation={generation} version={version}"),
        }
        if Arc::ptr_eq(&old.front, &new.front) {
            old.step(Event::Retire);
        } else {
            self.close(&old, Instant::now());
        }
        self.leaving.push(old);
    }
}
