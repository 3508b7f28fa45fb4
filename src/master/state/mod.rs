//! One app's life: who is to be spawned, told and stopped, and when. Pure: (event, now) -> actions.
//!
//! ```text
//!   Idle -Start-> Agent -its Ready-> Workers -all Ready-> Running -Stop-> StoppingWorkers -> StoppingAgent -> Stopped
//!                   |                   |                                      ^
//!                   +--- any failure ---+---- StartFailed ---------------------+      Kill: everywhere, at once
//! ```
//!
//! `app` calls it with what its children did and carries out what it says. It must not do I/O or
//! read a clock. Every spawned pid ends with exactly one [`Event::Exited`].

mod backoff;
mod slot;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use fastrand::Rng;

pub(crate) use self::slot::Slot;
use super::pids::Pids;
use crate::cluster::{Pid, Process, Role};

/// What an app consists of, as far as its life goes.
pub(crate) struct Shape {
    /// For errors.
    pub(crate) app: String,
    /// Is there an agent process?
    pub(crate) agent: bool,
    /// How many workers.
    pub(crate) workers: u32,
    /// From spawn to ready.
    pub(crate) start_timeout: Duration,
    /// From [`Event::Stop`] until the last one is killed.
    pub(crate) stop_timeout: Duration,
    /// Of the jitter of restarts.
    pub(crate) seed: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Begin. Once.
    Start,
    /// The child takes work.
    Ready(Pid),
    /// The child can't start, or broke the protocol; it is still to be reaped.
    Failed { pid: Pid, reason: String },
    /// The child is gone and reaped, or could not be spawned.
    Exited { pid: Pid, reason: String },
    /// [`Cluster::deadline`] has passed.
    Tick,
    /// End in order.
    Stop,
    /// End at once.
    Kill,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Spawn this process. `replacement`: into a cluster that was ready before.
    Spawn { pid: Pid, role: Role, slot: u32, replacement: bool },
    /// Tell it that the cluster is ready. Once per process.
    ClusterReady { pid: Pid },
    /// Send everybody the new list.
    ProcessesChanged,
    /// Every process is ready: route what was kept, hand out connections, tell the user. Once.
    Ready,
    /// Ask it to end.
    StopChild { pid: Pid },
    /// SIGKILL.
    Kill { pid: Pid },
    /// The app can't start; what runs of it is being stopped, [`Action::Stopped`] follows. Once.
    StartFailed(String),
    /// No process is left. The last action.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Agent,
    Workers,
    Running,
    StoppingWorkers,
    StoppingAgent,
    Stopped,
}

/// Of `stop-timeout`, what the workers may take when an agent comes after them.
const WORKERS_SHARE: f64 = 0.8;

/// Why a process that was asked to stop was killed.
const OUT_OF_TIME: &str = "did not stop within limits.stop-timeout";

/// One app's processes.
pub(crate) struct Cluster {
    shape: Shape,
    /// The agent's first, then the workers' by slot.
    slots: Vec<Slot>,
    phase: Phase,
    /// When the agent's (or the last) SIGKILL is due.
    stop_by: Option<Instant>,
    /// When the workers' SIGKILL is due; never later than `stop_by`.
    workers_by: Option<Instant>,
    pids: Pids,
    rng: Rng,
}

impl Cluster {
    /// Nothing runs yet.
    pub(crate) fn new(shape: Shape, pids: Pids) -> Self {
        let agent = shape.agent.then(|| Slot::new(Role::Agent, 0));
        let workers = (0..shape.workers).map(|slot| Slot::new(Role::Worker, slot));
        let slots = agent.into_iter().chain(workers).collect();
        let rng = Rng::with_seed(shape.seed);
        Self { shape, slots, phase: Phase::Idle, stop_by: None, workers_by: None, pids, rng }
    }

    /// One step. What comes too late (a pid that is gone) does nothing.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = vec![];
        match event {
            Event::Start => self.start(now, &mut actions),
            Event::Ready(pid) => self.ready(pid, now, &mut actions),
            Event::Failed { pid, reason } => self.failed(pid, reason, now, &mut actions),
            Event::Exited { pid, reason } => self.exited(pid, &reason, now, &mut actions),
            Event::Tick => self.tick(now, &mut actions),
            Event::Stop => self.stop(now, &mut actions),
            Event::Kill => self.kill(&mut actions),
        }
        actions
    }

    /// When [`Event::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stop = match self.phase {
            Phase::StoppingWorkers => self.workers_by,
            Phase::StoppingAgent => self.stop_by,
            Phase::Idle | Phase::Agent | Phase::Workers | Phase::Running | Phase::Stopped => None,
        };
        self.slots.iter().filter_map(Slot::deadline).chain(stop).min()
    }

    /// Who is there: the agent first, then the workers by slot.
    pub(crate) fn processes(&self) -> Vec<Process> {
        self.slots.iter().filter_map(Slot::process).collect()
    }

    /// The slots as `status` shows them.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    fn start(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase != Phase::Idle {
            return;
        }
        if self.shape.agent {
            self.phase = Phase::Agent;
            self.spawn(Role::Agent, now, actions);
        } else {
            self.start_workers(now, actions);
        }
    }

    fn start_workers(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.phase = Phase::Workers;
        self.spawn(Role::Worker, now, actions);
        self.check_started(actions);
    }

    /// Fills every empty slot of this role.
    fn spawn(&mut self, role: Role, now: Instant, actions: &mut Vec<Action>) {
        let deadline = now + self.shape.start_timeout;
        for slot in self.slots.iter_mut().filter(|slot| slot.role == role) {
            actions.push(slot.spawn(self.pids.next(), deadline, self.phase == Phase::Running));
        }
    }

    /// The last one that was waited for makes the cluster ready.
    fn check_started(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Workers || !self.slots.iter().all(Slot::is_ready) {
            return;
        }
        self.phase = Phase::Running;
        for slot in &self.slots {
            actions.extend(slot.pid().map(|pid| Action::ClusterReady { pid }));
        }
        actions.push(Action::Ready);
    }

    fn ready(&mut self, pid: Pid, now: Instant, actions: &mut Vec<Action>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.pid() == Some(pid)) else { return };
        if !slot.becomes_ready(now) {
            return;
        }
        match self.phase {
            Phase::Agent => {
                actions.push(Action::ProcessesChanged);
                self.start_workers(now, actions);
            }
            Phase::Workers => {
                actions.push(Action::ProcessesChanged);
                self.check_started(actions);
            }
            Phase::Running => actions.extend([Action::ClusterReady { pid }, Action::ProcessesChanged]),
            Phase::Idle | Phase::StoppingWorkers | Phase::StoppingAgent | Phase::Stopped => {}
        }
    }

    fn failed(&mut self, pid: Pid, reason: String, now: Instant, actions: &mut Vec<Action>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.pid() == Some(pid)) else { return };
        let message = format!("{} of {} cannot start: {reason}", slot.name(), self.shape.app);
        slot.condemn(reason);
        actions.push(Action::Kill { pid });
        if self.is_starting() {
            self.abort(message, now, actions);
        }
    }

    fn exited(&mut self, pid: Pid, reason: &str, now: Instant, actions: &mut Vec<Action>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.pid() == Some(pid)) else { return };
        let until = if slot.is_ready() { "the cluster was ready" } else { "it was ready" };
        let message = format!("{} of {} exited before {until} ({reason})", slot.name(), self.shape.app);
        slot.vacate(reason, now);
        match self.phase {
            Phase::Agent | Phase::Workers => self.abort(message, now, actions),
            Phase::Running => {
                slot.schedule(now, self.rng.f64());
                // With the one that comes at once, where one does.
                actions.push(Action::ProcessesChanged);
                self.respawn(now, actions);
            }
            Phase::StoppingWorkers | Phase::StoppingAgent => {
                actions.push(Action::ProcessesChanged);
                self.go_on_stopping(actions);
            }
            Phase::Idle | Phase::Stopped => {}
        }
    }

    /// Spawns what is due.
    fn respawn(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let deadline = now + self.shape.start_timeout;
        for slot in self.slots.iter_mut().filter(|slot| slot.is_due(now)) {
            actions.push(slot.spawn(self.pids.next(), deadline, true));
        }
    }

    fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut late = None;
        for slot in &mut self.slots {
            slot.settle(now);
            let Some(pid) = slot.overdue(now) else { continue };
            let timeout = humantime::format_duration(self.shape.start_timeout);
            let reason = format!("was not ready within {timeout}");
            late.get_or_insert_with(|| {
                let who = slot.name();
                format!("{who} of {} {reason}; raise limits.start-timeout if it needs longer", self.shape.app)
            });
            slot.condemn(reason);
            actions.push(Action::Kill { pid });
        }
        match (self.phase, late) {
            (Phase::Agent | Phase::Workers, Some(message)) => self.abort(message, now, actions),
            (Phase::Running, _) => {
                let before = actions.len();
                self.respawn(now, actions);
                if actions.len() > before {
                    // It may send from its start already: whom it sends to must know it, to answer.
                    actions.push(Action::ProcessesChanged);
                }
            }
            (Phase::StoppingWorkers, _) if self.workers_by.is_some_and(|by| by <= now) => {
                self.workers_by = None;
                self.kill_all(Role::Worker, OUT_OF_TIME, actions);
            }
            (Phase::StoppingAgent, _) if self.stop_by.is_some_and(|by| by <= now) => {
                self.stop_by = None;
                self.kill_all(Role::Agent, OUT_OF_TIME, actions);
            }
            (_, _) => {}
        }
    }

    fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Agent | Phase::Workers)
    }

    fn abort(&mut self, message: String, now: Instant, actions: &mut Vec<Action>) {
        actions.push(Action::StartFailed(message));
        self.stop(now, actions);
    }

    fn stop(&mut self, now: Instant, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Idle | Phase::Agent | Phase::Workers | Phase::Running => {}
            Phase::StoppingWorkers | Phase::StoppingAgent | Phase::Stopped => return,
        }
        let share = if self.shape.agent { WORKERS_SHARE } else { 1.0 };
        self.workers_by = Some(now + self.shape.stop_timeout.mul_f64(share));
        self.stop_by = Some(now + self.shape.stop_timeout);
        self.phase = Phase::StoppingWorkers;
        // An agent that has not finished its start has nothing to wait for the workers for.
        for slot in self.slots.iter_mut().filter(|slot| slot.role == Role::Worker || !slot.is_ready()) {
            actions.extend(slot.stop());
        }
        self.go_on_stopping(actions);
    }

    /// The agent's turn when no worker is left, and the end when nobody is.
    fn go_on_stopping(&mut self, actions: &mut Vec<Action>) {
        let left = |role: Role, slots: &[Slot]| slots.iter().any(|s| s.role == role && s.pid().is_some());
        if self.phase == Phase::StoppingWorkers && !left(Role::Worker, &self.slots) {
            self.phase = Phase::StoppingAgent;
            for slot in self.slots.iter_mut().filter(|slot| slot.role == Role::Agent) {
                actions.extend(slot.stop());
            }
        }
        if self.phase == Phase::StoppingAgent && !left(Role::Agent, &self.slots) {
            self.phase = Phase::Stopped;
            actions.push(Action::Stopped);
        }
    }

    fn kill(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.phase = Phase::StoppingWorkers;
        self.workers_by = None;
        self.stop_by = None;
        for role in [Role::Worker, Role::Agent] {
            self.kill_all(role, "was killed", actions);
        }
        self.go_on_stopping(actions);
    }

    fn kill_all(&mut self, role: Role, reason: &str, actions: &mut Vec<Action>) {
        for slot in self.slots.iter_mut().filter(|slot| slot.role == role) {
            slot.give_up();
            if let Some(pid) = slot.pid() {
                slot.condemn(reason.to_owned());
                actions.push(Action::Kill { pid });
            }
        }
    }
}
