//! Another number of workers for what serves. It has `start-timeout` for that; then there are as many as before.
//! Part of `generations`.

use std::time::Instant;

use super::Generations;
use crate::master::{
    release::Release,
    steps::{Step, Steps},
};

/// More workers start.
pub(super) struct Scaling {
    /// Hears when each of them is ready.
    steps: Steps,
    /// What it was before: this many workers are not waited for.
    former: Release,
    /// They have so long.
    until: Instant,
}

impl Scaling {
    pub(super) fn deadline(&self) -> Instant {
        self.until
    }
}

impl Generations {
    /// Only the number of workers differs from what serves.
    pub(super) fn scale(&mut self, release: Release, steps: Steps) {
        let (app, workers) = (release.app.name.clone(), release.workers());
        tracing::info!("scaled app={app} workers={workers}");
        let until = Instant::now() + release.app.limits.start_timeout;
        let mut former = self.serving.scale(release);
        if let Some(before) = self.scaling.take() {
            before.steps.failed("another number of workers was asked for");
            former = before.former;
        }
        self.scaling = Some(Scaling { steps, former, until });
        // Fewer are there at once.
        self.settle_scaling();
    }

    /// Are they there, or is their time over?
    pub(super) fn settle_scaling(&mut self) {
        let Some(scaling) = &self.scaling else { return };
        let Some((name, last_exit)) = self.serving.lacks(scaling.former.workers()) else {
            self.serving.say_serves(&scaling.steps);
            scaling.steps.say(Step::Alone);
            self.scaling = None;
            return;
        };
        if scaling.until <= Instant::now() {
            let limit = humantime::format_duration(self.serving.release.app.limits.start_timeout);
            let why = match last_exit {
                Some(last) => format!("{name} was not ready within {limit}; its last process: {last}"),
                None => format!("{name} was not ready within {limit}"),
            };
            self.scale_back(&format!("{why}; raise limits.start-timeout if it needs longer"));
        }
    }

    /// As many as before.
    pub(super) fn scale_back(&mut self, why: &str) {
        let Some(Scaling { steps, former, .. }) = self.scaling.take() else { return };
        let (app, workers) = (former.app.name.clone(), former.workers());
        tracing::error!("scaling {app} failed: {why}; it goes on with {workers} workers");
        self.serving.scale(former);
        steps.failed(why);
    }

    /// What serves is another one now.
    pub(super) fn end_scaling(&mut self) {
        if let Some(scaling) = self.scaling.take() {
            scaling.steps.failed("another version took over meanwhile");
        }
    }
}
