//! What an app's generations can say of themselves. Part of `generations`; it changes nothing.

use super::{Generations, Running};
use crate::{
    ipc::counters::Snapshot,
    master::{
        app::limits::{self, Counted},
        groups,
        status::{AppStatus, GenerationState, Traffic},
    },
    sys::cgroup::Controller,
};

impl Generations {
    pub(in super::super) fn report_drops(&mut self) {
        self.all_mut().for_each(Running::report_drops);
    }

    /// For the limits: `counts` and `dropped` are the whole app's.
    fn counted(&self, counts: Snapshot, dropped: u64) -> Counted {
        let mut seen = Counted {
            counts,
            dropped,
            reasons: self.gone_reasons,
            refused: self.gone_refused,
            disk: self.watch.disk(),
            memory: self.watch.memory(),
            has_cpu_group: groups::hold(Controller::Cpu),
            ..Counted::default()
        };
        for one in self.all() {
            one.count_limits(&mut seen);
        }
        seen
    }

    /// How it is.
    pub(in super::super) fn status(&self) -> AppStatus {
        let (app, serving) = (&self.serving.release.app, &self.serving);
        let now = if self.serves { GenerationState::Serving } else { GenerationState::Coming };
        let next = if self.trial.is_some() { GenerationState::Canary } else { GenerationState::Coming };
        let mut counts = self.gone_counts.clone();
        let mut show = |one: &Running, state| {
            let (status, its_counts) = one.status(state);
            counts.add(&its_counts);
            status
        };
        let mut generations = vec![show(serving, now)];
        generations.extend(self.coming.iter().map(|one| show(one, next)));
        generations.extend(self.leaving.iter().map(|one| show(one, GenerationState::Draining)));
        let (mut dropped, mut late_answers) = self.gone;
        for one in self.all() {
            let losses = one.losses();
            (dropped, late_answers) = (dropped + losses.0, late_answers + losses.1);
        }
        let (denied, denied_more) = serving.ledger.entries();
        AppStatus {
            name: app.name.clone(),
            version: app.version.clone(),
            address: serving.front.address(),
            dropped,
            late_answers,
            generation: serving.generation,
            traffic: Traffic::from(&counts),
            generations,
            denied,
            denied_more,
            limits: limits::table(app, &self.counted(counts, dropped)),
        }
    }
}
