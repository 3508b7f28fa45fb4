//! What an app's generations can say of themselves. Part of `generations`; it changes nothing.

use super::{Generations, Running};
use crate::master::status::{AppStatus, GenerationState, Traffic};

impl Generations {
    pub(in super::super) fn report_drops(&mut self) {
        self.all_mut().for_each(Running::report_drops);
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
        }
    }
}
