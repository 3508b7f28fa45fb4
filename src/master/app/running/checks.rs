//! One generation's health: its checks, as `state::health` has them, and what says why one failed.

use std::time::Instant;

use super::Running;
use crate::{
    cluster::{Pid, Process, Role, State},
    ipc::message::{Check, CheckId, ToChild},
    master::{
        children::Child,
        state::{
            Event,
            health::{self, Action, Health},
        },
        steps::Step,
    },
};

impl Running {
    /// Every process is ready. Where nothing is to be checked, that is enough to serve.
    pub(super) fn begin_checks(&mut self) {
        let Some(health) = self.release.app.deploy.health.clone() else {
            self.is_healthy();
            return;
        };
        let app = self.release.app.name.clone();
        tracing::info!(app, generation = self.generation, path = health.path, "checking its health");
        let config = health::Config { app, workers: self.release.workers(), health };
        self.health = Some(Health::new(config, Instant::now()));
        for process in self.cluster.processes() {
            if process.role == Role::Worker && process.state == State::Ready {
                self.check(health::Event::Ready { pid: process.pid, slot: process.slot });
            }
        }
    }

    /// Tells the checks, while there are any, and does what they say. `settle` is to follow.
    pub(super) fn check(&mut self, event: health::Event) {
        let Some(health) = &mut self.health else { return };
        for action in health.handle(event, Instant::now()) {
            match action {
                Action::Ask { pid, check } => self.ask(pid, check),
                Action::Passed => {
                    tracing::info!(
                        app = self.release.app.name,
                        generation = self.generation,
                        "passed its health check"
                    );
                    self.is_healthy();
                }
                Action::Failed { reason, pid } => {
                    self.health = None;
                    if let Some(child) = pid.and_then(|pid| self.children.get(&pid)) {
                        self.last_lines = child.last_lines();
                    }
                    self.failure = Some(reason);
                    self.told.push_back(Event::Stop);
                }
            }
        }
    }

    fn is_healthy(&mut self) {
        self.health = None;
        self.is_ready = true;
        self.steps.say(Step::Healthy);
    }

    fn ask(&mut self, pid: Pid, check: CheckId) {
        let Some(health) = &self.release.app.deploy.health else { return };
        let (path, timeout) = (health.path.clone(), health.timeout);
        self.control(pid, &ToChild::Check(Check { check, path, timeout }));
    }

    /// A child ends, or fails. One that was ready and not told to go has crashed.
    pub(super) fn count_crash(&mut self, pid: Pid) {
        let was_ready = |process: &Process| process.pid == pid && process.state == State::Ready;
        if self.cluster.processes().iter().any(was_ready) {
            self.crashes += 1;
            if self.serves
                && let Some(child) = self.children.get(&pid)
            {
                self.last_lines = child.last_lines();
            }
        }
    }

    /// It is taken back: what the worker logged last that fared worst says more than numbers. One that
    /// crashed has its word already.
    pub(in super::super) fn keep_worst_lines(&mut self) {
        let faults = |child: &&Child| {
            let counts = child.counts();
            (counts.traps, counts.errors())
        };
        if self.crashes == 0
            && let Some(child) = self.children.values().max_by_key(faults)
        {
            self.last_lines = child.last_lines();
        }
    }

    /// A child that ends, fails, or is late, before its generation may serve may be why it never does.
    pub(super) fn keep_last_lines(&mut self, pid: Pid) {
        if !self.is_ready
            && self.failure.is_none()
            && let Some(child) = self.children.get(&pid)
        {
            self.last_lines = child.last_lines();
        }
    }
}
