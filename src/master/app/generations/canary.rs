//! The coming generation as a canary: both serve, `state::canary` judges, and it is promoted or taken
//! back. Part of `generations`.

use std::time::Instant;

use super::{Generations, kept::Kept};
use crate::{
    manifest::Balance,
    master::{
        balance::Share,
        plan::Canary,
        release::Release,
        state::{
            Event,
            canary::{Pair, Trial, Verdict},
        },
        steps::Step,
    },
};

impl Generations {
    /// Can connections be shared between what serves and this?
    pub(super) fn may_share(&self, release: &Release) -> Result<(), &'static str> {
        let (Some(_), Some(new)) = (&self.serving.release.app.worker, &release.app.worker) else {
            return Err("a canary needs workers, before and after: deploy it without");
        };
        if self.kept(new) != Kept::Front {
            return Err("a canary can't change `listen` or `balance`: deploy that without a canary first");
        }
        if new.balance == Balance::Shared {
            return Err(
                "a canary needs the master to hand out connections: change `balance = \"shared\"`, or deploy \
                 it without",
            );
        }
        Ok(())
    }

    /// It is ready and healthy: it gets its share from now on.
    pub(super) fn begin_trial(&mut self, canary: Canary) {
        let Some(coming) = &mut self.coming else { return };
        let (percent, time, generation) = (canary.percent(), canary.time(), coming.generation);
        // First: none of its workers is to get more.
        coming.front.share(Some(Share { generation, percent }));
        coming.take_connections();
        let (app, shown) = (&coming.release.app.name, humantime::format_duration(time));
        tracing::info!("canary app={app} generation={generation} percent={percent} time={shown}");
        coming.steps.say(Step::Canary { percent, time });
        let before = Pair { old: self.serving.compared(), new: coming.compared() };
        self.trial = Some(Trial::new(canary, before, Instant::now()));
    }

    /// What is to become of it?
    pub(super) fn judge(&mut self) {
        let (Some(trial), Some(coming)) = (&mut self.trial, &self.coming) else { return self.end_trial() };
        let counted = || Pair { old: self.serving.compared(), new: coming.compared() };
        match trial.look(Instant::now(), counted) {
            Verdict::GoesOn => {}
            Verdict::Worse(why) => {
                if let Some(bad) = &mut self.coming {
                    bad.keep_worst_lines();
                }
                self.take_back(&format!("the canary is worse: {why}"));
            }
            Verdict::Fine(seen) => {
                let (app, generation) = (&coming.release.app.name, coming.generation);
                tracing::info!("promoted app={app} generation={generation}: {seen}");
                coming.steps.say(Step::Promoted { seen });
                // What serves before drains first, or it would get a part of what comes meanwhile.
                self.trial = None;
                self.switch();
                self.serving.front.share(None);
            }
        }
    }

    /// It drains: what it has accepted, it answers.
    pub(super) fn take_back(&mut self, why: &str) {
        self.trial = None;
        let Some(mut bad) = self.coming.take() else { return };
        self.say_refused(why);
        bad.failed(why);
        bad.superseded();
        bad.step(Event::Retire);
        bad.front.share(None);
        self.leaving.push(bad);
    }

    /// The app stops: there is nothing to compare any more.
    pub(super) fn end_trial(&mut self) {
        if self.trial.take().is_some() {
            self.serving.front.share(None);
        }
    }
}
