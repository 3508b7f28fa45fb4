//! How a generation ends: stopped, retired or killed; workers first. Part of `state`; pure.

use std::time::{Duration, Instant};

use super::{Action, Cluster, Phase, Shape, Slot};
use crate::{cluster::Role, ipc::message::Idle};

/// Of `stop-timeout`, what the workers may take when an agent comes after them.
const WORKERS_SHARE: f64 = 0.8;

impl Cluster {
    /// In order, within `stop-timeout`: also where it was retired, and had more time.
    pub(super) fn stop(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let again = matches!(self.phase, Phase::StoppingWorkers | Phase::StoppingAgent);
        if self.phase == Phase::Stopped || (again && !self.retired) {
            return;
        }
        self.retired = false;
        let share = if self.shape.agent { WORKERS_SHARE } else { 1.0 };
        let workers_within = self.shape.stop_timeout.mul_f64(share);
        self.end(now, (workers_within, self.shape.stop_timeout), actions);
    }

    /// In order; others go on serving.
    pub(super) fn retire(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        self.retired = true;
        let Shape { drain_timeout, stop_timeout, .. } = self.shape;
        self.end(now, (drain_timeout, drain_timeout + stop_timeout), actions);
    }

    /// The workers have so long, and the agent; where they had less before, it stays at that.
    fn end(&mut self, now: Instant, (workers, all): (Duration, Duration), actions: &mut Vec<Action>) {
        // Nobody is replaced any more, and what is due and not done would be due for ever.
        self.slots.iter_mut().for_each(Slot::give_up);
        let sooner = |before: Option<Instant>, by: Instant| before.map_or(by, |before| before.min(by));
        self.stop_by = Some(sooner(self.stop_by, now + all));
        let idle = if self.retired { Idle::Linger } else { Idle::Close };
        if self.phase == Phase::StoppingAgent {
            self.stop_agent(now, actions);
            return;
        }
        self.workers_by = Some(sooner(self.workers_by, now + workers));
        self.phase = Phase::StoppingWorkers;
        // An agent that has not finished its start has nothing to wait for the workers for.
        for slot in self.slots.iter_mut().filter(|slot| slot.role == Role::Worker || !slot.is_ready()) {
            actions.extend(slot.stop(workers, idle));
        }
        self.go_on_stopping(now, actions);
    }

    /// The agent's turn when no worker is left, and the end when nobody is.
    pub(super) fn go_on_stopping(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let left = |role: Role, slots: &[Slot]| slots.iter().any(|s| s.role == role && !s.is_empty());
        if self.phase == Phase::StoppingWorkers && !left(Role::Worker, &self.slots) {
            self.phase = Phase::StoppingAgent;
            self.stop_agent(now, actions);
        }
        if self.phase == Phase::StoppingAgent && !left(Role::Agent, &self.slots) {
            self.phase = Phase::Stopped;
            actions.push(Action::Stopped);
        }
    }

    fn stop_agent(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let within = self.stop_by.map_or(Duration::ZERO, |by| by.saturating_duration_since(now));
        for slot in self.slots.iter_mut().filter(|slot| slot.role == Role::Agent) {
            actions.extend(slot.stop(within, Idle::Close));
        }
    }

    pub(super) fn kill(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.phase = Phase::StoppingWorkers;
        self.workers_by = None;
        self.stop_by = None;
        for role in [Role::Worker, Role::Agent] {
            self.kill_all(role, "was killed", actions);
        }
        self.go_on_stopping(now, actions);
    }

    pub(super) fn kill_all(&mut self, role: Role, reason: &str, actions: &mut Vec<Action>) {
        for slot in self.slots.iter_mut().filter(|slot| slot.role == role) {
            actions.extend(slot.kill(reason));
        }
    }
}
