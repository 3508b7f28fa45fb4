//! Is a generation that is ready fit to serve? Pure: (what its workers answered, now) -> whom to ask.
//!
//! ```text
//!   worker ready -> asking -passed, more are needed-> pausing -> asking ... -enough in a row-> fit
//!                     \--- failed: from 0 again ------^
//!   every worker is fit -> Passed            `health-within` is over -> Failed, the reason in words
//! ```
//!
//! `app::running` begins it when every process is ready, and calls it with what happens from then on.
//! A worker that goes is waited for: who comes in its place begins from 0.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{cluster::Pid, ipc::message::CheckId, manifest};

/// Between the answer to one check of a worker and its next one.
const PAUSE: Duration = Duration::from_millis(250);

/// A worker says itself that its guest did not answer in time. When it is silent too, its check has
/// failed after so much more.
const GRACE: Duration = Duration::from_secs(1);

/// The most bytes of a worker's reason.
const MAX_REASON: usize = 1024;

/// What is to be passed, and by how many.
pub(crate) struct Config {
    /// For errors.
    pub(crate) app: String,
    /// How many workers there are to be.
    pub(crate) workers: u32,
    /// As the manifest has it.
    pub(crate) health: manifest::Health,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A worker takes work.
    Ready { pid: Pid, slot: u32 },
    /// A worker takes no more, or is gone.
    Gone(Pid),
    /// A worker answered. An answer that nobody waits for changes nothing.
    Checked { pid: Pid, check: CheckId, result: Result<u16, String> },
    /// [`Health::deadline`] has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send it this check.
    Ask { pid: Pid, check: CheckId },
    /// All are fit. The last.
    Passed,
    /// They are not, for this reason; who is to blame, where it is still there. The last.
    Failed { reason: String, pid: Option<Pid> },
}

#[derive(Clone, Copy, Debug)]
enum Life {
    Asking { check: CheckId, by: Instant },
    Pausing { until: Instant },
    Fit,
}

struct Worker {
    slot: u32,
    /// Passed in a row.
    passed: u32,
    life: Life,
}

/// The last check that failed.
struct Failure {
    slot: u32,
    pid: Pid,
    why: String,
}

/// One generation's checks.
pub(crate) struct Health {
    config: Config,
    by: Instant,
    workers: BTreeMap<Pid, Worker>,
    /// Checks so far.
    asked: u64,
    failure: Option<Failure>,
    is_over: bool,
}

impl Health {
    /// Every process is ready at `now`; those that are workers are to be told with
    /// [`Event::Ready`].
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        let by = now + config.health.within;
        Self { config, by, workers: BTreeMap::new(), asked: 0, failure: None, is_over: false }
    }

    /// One step.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = vec![];
        if self.is_over {
            return actions;
        }
        match event {
            Event::Ready { pid, slot } => {
                let life = self.ask(pid, now, &mut actions);
                self.workers.insert(pid, Worker { slot, passed: 0, life });
            }
            Event::Gone(pid) => {
                if let Some(worker) = self.workers.remove(&pid) {
                    let (slot, why) = (worker.slot, "it ended".to_owned());
                    self.failure.get_or_insert(Failure { slot, pid, why });
                }
            }
            Event::Checked { pid, check, result } => self.checked(pid, check, result, now),
            Event::Tick => self.tick(now, &mut actions),
        }
        let fit = self.workers.values().filter(|worker| matches!(worker.life, Life::Fit)).count();
        let enough = u32::try_from(fit).is_ok_and(|fit| fit >= self.config.workers);
        if enough && fit == self.workers.len() {
            self.is_over = true;
            return vec![Action::Passed];
        }
        if self.by <= now {
            self.is_over = true;
            return vec![self.failed()];
        }
        actions
    }

    /// When [`Event::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = self.workers.values().filter_map(|worker| match worker.life {
            Life::Asking { by, .. } => Some(by),
            Life::Pausing { until } => Some(until),
            Life::Fit => None,
        });
        (!self.is_over).then(|| due.chain([self.by]).min()).flatten()
    }

    fn ask(&mut self, pid: Pid, now: Instant, actions: &mut Vec<Action>) -> Life {
        self.asked += 1;
        let check = CheckId(self.asked);
        actions.push(Action::Ask { pid, check });
        Life::Asking { check, by: now + self.config.health.timeout + GRACE }
    }

    fn checked(&mut self, pid: Pid, check: CheckId, result: Result<u16, String>, now: Instant) {
        let Some(worker) = self.workers.get_mut(&pid) else { return };
        if !matches!(worker.life, Life::Asking { check: asked, .. } if asked == check) {
            return;
        }
        let wanted = self.config.health.status;
        let why = match result {
            Ok(status) if status == wanted => {
                worker.passed += 1;
                let is_fit = worker.passed >= self.config.health.successes;
                worker.life = if is_fit { Life::Fit } else { Life::Pausing { until: now + PAUSE } };
                return;
            }
            Ok(status) => format!("answered {status}, not {wanted}"),
            Err(mut why) => {
                why.truncate(why.floor_char_boundary(MAX_REASON));
                why
            }
        };
        self.fail(pid, why, now);
    }

    fn fail(&mut self, pid: Pid, why: String, now: Instant) {
        let Some(worker) = self.workers.get_mut(&pid) else { return };
        worker.passed = 0;
        worker.life = Life::Pausing { until: now + PAUSE };
        self.failure = Some(Failure { slot: worker.slot, pid, why });
    }

    fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let lives: Vec<_> = self.workers.iter().map(|(pid, worker)| (*pid, worker.life)).collect();
        for (pid, life) in lives {
            match life {
                Life::Asking { by, .. } if by <= now => {
                    let limit = humantime::format_duration(self.config.health.timeout);
                    self.fail(pid, format!("gave no answer within {limit}"), now);
                }
                Life::Pausing { until } if until <= now => {
                    let life = self.ask(pid, now, actions);
                    if let Some(worker) = self.workers.get_mut(&pid) {
                        worker.life = life;
                    }
                }
                Life::Asking { .. } | Life::Pausing { .. } | Life::Fit => {}
            }
        }
    }

    fn failed(&self) -> Action {
        let manifest::Health { path, within, successes, .. } = &self.config.health;
        let (app, within) = (&self.config.app, humantime::format_duration(*within));
        let unfit = self.workers.iter().find(|(_, worker)| !matches!(worker.life, Life::Fit));
        let (who, why, pid) = match (&self.failure, unfit) {
            (Some(Failure { slot, pid, why }), _) => (format!("worker {slot}"), why.clone(), Some(*pid)),
            (None, Some((pid, Worker { slot, passed, .. }))) => {
                let why = format!("passed {passed} of {successes} in a row");
                (format!("worker {slot}"), why, Some(*pid))
            }
            (None, None) => ("a worker".to_owned(), "is not there".to_owned(), None),
        };
        let reason = format!(
            "{who} of {app} did not pass its health check within {within} (`health-within`): GET {path}: {why}"
        );
        Action::Failed { reason, pid: pid.filter(|pid| self.workers.contains_key(pid)) }
    }
}

#[cfg(test)]
mod tests;
