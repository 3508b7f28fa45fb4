//! One generation's life: who is to be spawned, told and stopped, and when. Pure: (event, now) -> actions.
//!
//! ```text
//!   Idle -Start-> Agent -its Ready-> Workers -all Ready-> Running -Stop-> StoppingWorkers -> StoppingAgent -> Stopped
//!                   |                   |                    Retire           ^
//!                   +--- any failure ---+---- StartFailed ---------------------+      Kill: everywhere, at once
//! ```
//!
//! A reload has a second one beside it, and then retires the first.
//!
//! `app` calls it with what its children did and carries out what it says. It must not do I/O or
//! read a clock. Every spawned pid ends with exactly one [`Event::Exited`].

pub(super) mod backoff;
pub(crate) mod canary;
mod change;
mod end;
pub(crate) mod health;
mod occupant;
mod slot;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use fastrand::Rng;

pub(crate) use self::slot::Slot;
use self::slot::{Left, Overdue};
use super::pids::Pids;
use crate::{
    cluster::{Pid, Process, Role},
    ipc::message::Idle,
};

/// What a generation consists of, as far as its life goes.
pub(crate) struct Shape {
    /// For errors.
    pub(crate) app: String,
    /// Counted from 1.
    pub(crate) generation: u64,
    /// Is there an agent process?
    pub(crate) agent: bool,
    /// How many workers.
    pub(crate) workers: u32,
    /// From spawn to ready.
    pub(crate) start_timeout: Duration,
    /// From [`Event::Stop`] until the last one is killed.
    pub(crate) stop_timeout: Duration,
    /// From being replaced to SIGKILL.
    pub(crate) drain_timeout: Duration,
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
    /// The child should be replaced: a new one first, then it goes. It must be ready, or nothing
    /// happens.
    Recycle { pid: Pid, reason: String },
    /// [`Cluster::deadline`] has passed.
    Tick,
    /// There are to be so many workers. Only while it runs.
    Scale { workers: u32 },
    /// A newer generation serves: end in order, with the time to drain.
    Retire,
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
    /// Ask it to end. More than once where it has less time than was said.
    StopChild { pid: Pid, within: Duration, idle: Idle },
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

/// Why a process that was asked to stop was killed.
const OUT_OF_TIME: &str = "did not stop within limits.stop-timeout";

/// Why a process that was replaced was killed.
const NOT_DRAINED: &str = "did not drain within limits.drain-timeout";

/// One generation's processes.
pub(crate) struct Cluster {
    shape: Shape,
    /// The agent's first, then the workers' by slot.
    slots: Vec<Slot>,
    phase: Phase,
    /// When the agent's (or the last) SIGKILL is due.
    stop_by: Option<Instant>,
    /// When the workers' SIGKILL is due; never later than `stop_by`.
    workers_by: Option<Instant>,
    /// Others go on serving.
    retired: bool,
    pids: Pids,
    rng: Rng,
    /// Processes that were not ready in time.
    late_starts: u64,
}

impl Cluster {
    /// Nothing runs yet.
    pub(crate) fn new(shape: Shape, pids: Pids) -> Self {
        let agent = shape.agent.then(|| Slot::new(Role::Agent, 0, shape.generation));
        let workers = (0..shape.workers).map(|slot| Slot::new(Role::Worker, slot, shape.generation));
        let slots = agent.into_iter().chain(workers).collect();
        let rng = Rng::with_seed(shape.seed);
        let (stop_by, workers_by) = (None, None);
        Self {
            shape,
            slots,
            phase: Phase::Idle,
            stop_by,
            workers_by,
            retired: false,
            pids,
            rng,
            late_starts: 0,
        }
    }

    /// One step. What comes too late (a pid that is gone) does nothing.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = vec![];
        match event {
            Event::Start => self.start(now, &mut actions),
            Event::Ready(pid) => self.ready(pid, now, &mut actions),
            Event::Failed { pid, reason } => self.failed(pid, reason, now, &mut actions),
            Event::Exited { pid, reason } => self.exited(pid, &reason, now, &mut actions),
            Event::Recycle { pid, reason } => self.recycle(pid, &reason, now, &mut actions),
            Event::Tick => self.tick(now, &mut actions),
            Event::Scale { workers } => self.scale(workers, now, &mut actions),
            Event::Retire => self.retire(now, &mut actions),
            Event::Stop => self.stop(now, &mut actions),
            Event::Kill => self.kill(now, &mut actions),
        }
        self.slots.retain(|slot| !slot.is_over());
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
        self.slots.iter().flat_map(Slot::processes).collect()
    }

    /// How many processes were killed since they were not ready within `start-timeout`.
    pub(crate) fn late_starts(&self) -> u64 {
        self.late_starts
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
        let drain = self.shape.drain_timeout;
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.holds(pid)) else { return };
        let (was_starting, former) = slot.becomes_ready(pid, now, now + drain);
        if !was_starting {
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
            Phase::Running => {
                actions.push(Action::ClusterReady { pid });
                let stop = |pid| Action::StopChild { pid, within: drain, idle: Idle::Linger };
                actions.extend(former.map(stop));
                actions.push(Action::ProcessesChanged);
            }
            Phase::Idle | Phase::StoppingWorkers | Phase::StoppingAgent | Phase::Stopped => {}
        }
    }

    fn failed(&mut self, pid: Pid, reason: String, now: Instant, actions: &mut Vec<Action>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.holds(pid)) else { return };
        let message = format!("{} of {} cannot start: {reason}", slot.name(), self.shape.app);
        slot.condemn(pid, reason, now, self.rng.f64());
        actions.push(Action::Kill { pid });
        if self.is_starting() {
            self.abort(message, now, actions);
        }
    }

    fn exited(&mut self, pid: Pid, reason: &str, now: Instant, actions: &mut Vec<Action>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.holds(pid)) else { return };
        let until = if slot.is_ready() { "the cluster was ready" } else { "it was ready" };
        let message = format!("{} of {} exited before {until} ({reason})", slot.name(), self.shape.app);
        let left = slot.vacate(pid, reason, now, self.rng.f64());
        match self.phase {
            Phase::Agent | Phase::Workers => self.abort(message, now, actions),
            Phase::Running => {
                if left == Left::Empty {
                    slot.schedule(now, self.rng.f64());
                }
                // With the one that comes at once, where one does.
                actions.push(Action::ProcessesChanged);
                self.respawn(now, actions);
            }
            Phase::StoppingWorkers | Phase::StoppingAgent => {
                actions.push(Action::ProcessesChanged);
                self.go_on_stopping(now, actions);
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
        for slot in self.slots.iter_mut().filter(|slot| slot.is_recycle_due(now)) {
            actions.push(slot.spawn_next(self.pids.next(), deadline));
        }
    }

    fn respawn_and_tell(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let before = actions.len();
        self.respawn(now, actions);
        if actions.len() > before {
            // It may send from its start already: whom it sends to must know it, to answer.
            actions.push(Action::ProcessesChanged);
        }
    }

    fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut late = None;
        for slot in &mut self.slots {
            slot.settle(now);
            for overdue in slot.overdue(now) {
                let (pid, reason) = match overdue {
                    Overdue::Drain(pid) => (pid, NOT_DRAINED.to_owned()),
                    Overdue::Start(pid) => {
                        let timeout = humantime::format_duration(self.shape.start_timeout);
                        let reason = format!("was not ready within {timeout}");
                        let (who, app) = (slot.name(), &self.shape.app);
                        self.late_starts += 1;
                        late.get_or_insert_with(|| {
                            format!("{who} of {app} {reason}; raise limits.start-timeout if it needs longer")
                        });
                        (pid, reason)
                    }
                };
                slot.condemn(pid, reason, now, self.rng.f64());
                actions.push(Action::Kill { pid });
            }
        }
        match (self.phase, late) {
            (Phase::Agent | Phase::Workers, Some(message)) => self.abort(message, now, actions),
            (Phase::Running, _) => self.respawn_and_tell(now, actions),
            (Phase::StoppingWorkers, _) if self.workers_by.is_some_and(|by| by <= now) => {
                self.workers_by = None;
                self.kill_all(Role::Worker, if self.retired { NOT_DRAINED } else { OUT_OF_TIME }, actions);
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
}
