//! A place for one process, which outlives those that fill it. Used by `state` alone; pure.
//!
//! ```text
//!   due -> current -----------------------------> gone, and the next one is due
//!   recycle -> coming -ready-> takes its place;
//!                              the former one ---> leaving -> gone
//! ```
//!
//! While one process is put in another's place there are two: a recycle waits for what is leaving. There
//! are more only where the number of workers goes down and up again while they leave.

use std::time::{Duration, Instant};

use super::{
    Action,
    backoff::{Backoff, STEADY},
    occupant::{Life, Occupant},
};
use crate::{
    cluster::{Pid, Process, Role},
    ipc::message::Idle,
};

/// The agent's place, or one worker's.
#[derive(Debug)]
pub(crate) struct Slot {
    /// What the process is for.
    pub(crate) role: Role,
    /// 0..N-1 for workers, 0 for the agent.
    pub(crate) slot: u32,
    generation: u64,
    /// Who does the work.
    current: Option<Occupant>,
    /// Who is to take over, while it starts.
    coming: Option<Occupant>,
    /// Those that were told to go or are being killed, and have somebody in their place.
    leaving: Vec<Occupant>,
    /// When the next one comes, if nobody is here.
    due: Option<Instant>,
    /// The current one is to be replaced.
    recycle: Option<Recycle>,
    /// No further one comes, not even after a restart: there are fewer workers now.
    retired: bool,
    backoff: Backoff,
    /// How long the last one was ready.
    lived: Duration,
    restarts: u64,
    last_exit: Option<String>,
}

#[derive(Debug)]
struct Recycle {
    reason: String,
    /// Not before then.
    due: Instant,
}

/// What became of a slot when a process was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nobody is here.
    Empty,
    /// There is, or comes, somebody else.
    Filled,
}

/// Who has missed a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It was not ready in time.
    Start(Pid),
    /// It has not gone in time.
    Drain(Pid),
}

impl Slot {
    pub(super) fn new(role: Role, slot: u32, generation: u64) -> Self {
        Self {
            role,
            slot,
            generation,
            current: None,
            coming: None,
            leaving: vec![],
            due: None,
            recycle: None,
            retired: false,
            backoff: Backoff::default(),
            lived: Duration::ZERO,
            restarts: 0,
            last_exit: None,
        }
    }

    /// `agent` or `worker 1`.
    pub(crate) fn name(&self) -> String {
        match self.role {
            Role::Agent => "agent".to_owned(),
            Role::Worker => format!("worker {}", self.slot),
        }
    }

    /// Who does the work, or is to.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.current.as_ref().map(|current| current.pid)
    }

    /// Does it fail again and again?
    pub(crate) fn is_failing(&self) -> bool {
        self.backoff.failing()
    }

    /// How many processes were put in place of another.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Why the last process ended.
    pub(crate) fn last_exit(&self) -> Option<&str> {
        self.last_exit.as_deref()
    }

    /// Who does the work, or is to, as its cluster sees it.
    pub(crate) fn process(&self) -> Option<Process> {
        self.current.as_ref().map(|current| self.shown(current))
    }

    /// All that are here, the oldest first.
    pub(crate) fn processes(&self) -> impl Iterator<Item = Process> {
        self.leaving.iter().chain(&self.current).chain(&self.coming).map(|one| self.shown(one))
    }

    fn shown(&self, one: &Occupant) -> Process {
        let (role, slot, generation) = (self.role, self.slot, self.generation);
        Process { pid: one.pid, role, slot, generation, state: one.state() }
    }

    pub(super) fn holds(&self, pid: Pid) -> bool {
        self.leaving.iter().chain(&self.current).chain(&self.coming).any(|one| one.pid == pid)
    }

    /// Is nobody here?
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.coming.is_none() && self.leaving.is_empty()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.current.as_ref().is_some_and(Occupant::is_ready)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.current.is_none() && self.due.is_some_and(|due| due <= now)
    }

    /// Is a replacement to be spawned while the current one goes on?
    pub(super) fn is_recycle_due(&self, now: Instant) -> bool {
        self.recycle_due().is_some_and(|due| due <= now)
    }

    fn recycle_due(&self) -> Option<Instant> {
        let can = self.is_ready() && self.coming.is_none() && self.leaving.is_empty();
        self.recycle.as_ref().filter(|_| can).map(|recycle| recycle.due)
    }

    /// There are fewer workers now, and the last process of this slot is gone.
    pub(super) fn is_over(&self) -> bool {
        self.retired && self.is_empty()
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Who has taken too long.
    pub(super) fn overdue(&self, now: Instant) -> Vec<Overdue> {
        let here = self.leaving.iter().chain(&self.current).chain(&self.coming);
        here.filter(|one| one.deadline().is_some_and(|deadline| deadline <= now))
            .map(|one| if one.is_starting() { Overdue::Start(one.pid) } else { Overdue::Drain(one.pid) })
            .collect()
    }

    /// The next moment that matters to it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let here = self.leaving.iter().chain(&self.current).chain(&self.coming);
        let due = self.due.filter(|_| self.current.is_none());
        here.filter_map(Occupant::deadline).chain(due).chain(self.recycle_due()).chain(self.settles()).min()
    }

    /// When early deaths are forgotten.
    fn settles(&self) -> Option<Instant> {
        match self.current.as_ref()?.life {
            Life::Ready { since } if self.backoff != Backoff::default() && self.recycle.is_none() => {
                Some(since + STEADY)
            }
            _ => None,
        }
    }

    /// Forgets early deaths once the process has been ready for long.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.settles().is_some_and(|at| at <= now) {
            self.backoff.reset();
        }
    }

    pub(super) fn spawn(&mut self, pid: Pid, deadline: Instant, replacement: bool) -> Action {
        self.current = Some(Occupant::new(pid, deadline));
        self.due = None;
        self.restarts += u64::from(replacement && self.last_exit.is_some());
        Action::Spawn { pid, role: self.role, slot: self.slot, replacement }
    }

    /// Spawns the one that is to take over from the current one.
    pub(super) fn spawn_next(&mut self, pid: Pid, deadline: Instant) -> Action {
        self.coming = Some(Occupant::new(pid, deadline));
        Action::Spawn { pid, role: self.role, slot: self.slot, replacement: true }
    }

    /// Is it the one that does the work, and stays?
    pub(super) fn takes_recycle(&self, pid: Pid) -> bool {
        self.pid() == Some(pid) && self.is_ready() && self.recycle.is_none() && !self.retired
    }

    /// The current one, if that is it, is to be replaced; with the back-off, where one after the
    /// other wants that soon.
    pub(super) fn wants_recycle(&mut self, pid: Pid, reason: &str, now: Instant, jitter: f64) {
        if let Some(Occupant { life: Life::Ready { since }, .. }) = self.current
            && self.takes_recycle(pid)
        {
            let wait = self.backoff.ended(now.saturating_duration_since(since), jitter);
            self.recycle = Some(Recycle { reason: reason.to_owned(), due: now + wait });
        }
    }

    /// False where it wasn't starting. One that takes over gives the one that is to be told to go,
    /// which has until `by`.
    pub(super) fn becomes_ready(&mut self, pid: Pid, now: Instant, by: Instant) -> (bool, Option<Pid>) {
        let is_it = |one: &Occupant| one.pid == pid && one.is_starting();
        let ready = Life::Ready { since: now };
        if let Some(current) = self.current.as_mut().filter(|one| is_it(one)) {
            current.life = ready;
            return (true, None);
        }
        let Some(mut next) = self.coming.take_if(|one| is_it(one)) else { return (false, None) };
        next.life = ready;
        self.restarts += 1;
        if let Some(recycle) = self.recycle.take() {
            self.last_exit = Some(format!("recycled: {}", recycle.reason));
        }
        let Some(mut former) = self.current.replace(next) else { return (true, None) };
        let told = former.is_ready().then_some(former.pid);
        if told.is_some() {
            former.life = Life::Stopping { by: Some(by) };
        }
        self.leaving.push(former);
        (true, told)
    }

    /// It is being killed, for this reason. `jitter` is of the next try, where it was to take over.
    pub(super) fn condemn(&mut self, pid: Pid, reason: String, now: Instant, jitter: f64) {
        if let Some(mut next) = self.coming.take_if(|one| one.pid == pid) {
            self.next_failed(&reason, now, jitter);
            next.condemn(reason);
            self.leaving.push(next);
        } else if let Some(one) = self.current.iter_mut().chain(&mut self.leaving).find(|one| one.pid == pid)
        {
            one.condemn(reason);
        }
    }

    /// The current one goes on, and its replacement is tried again later.
    fn next_failed(&mut self, reason: &str, now: Instant, jitter: f64) {
        let wait = self.backoff.ended(Duration::ZERO, jitter);
        self.last_exit = Some(format!("its replacement: {reason}"));
        if let Some(recycle) = &mut self.recycle {
            recycle.due = now + wait;
        }
    }

    /// The process is gone.
    pub(super) fn vacate(&mut self, pid: Pid, exit: &str, now: Instant, jitter: f64) -> Left {
        if self.coming.take_if(|one| one.pid == pid).is_some() {
            self.next_failed(exit, now, jitter);
        } else if let Some(at) = self.leaving.iter().position(|one| one.pid == pid) {
            let one = self.leaving.remove(at);
            if self.retired {
                self.last_exit = Some(one.ended(exit).1);
            }
        } else if let Some(current) = self.current.take_if(|one| one.pid == pid) {
            let (since, reason) = current.ended(exit);
            self.lived = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            self.last_exit = Some(reason);
            self.recycle = None;
            self.current = self.coming.take();
            if self.current.is_none() {
                return Left::Empty;
            }
            self.restarts += 1;
        }
        Left::Filled
    }

    /// When the next one comes.
    pub(super) fn schedule(&mut self, now: Instant, jitter: f64) {
        let wait = self.backoff.ended(self.lived, jitter);
        self.due = Some(now + wait);
    }

    /// It is new, and to be filled at once.
    pub(super) fn open(&mut self, now: Instant) {
        self.retired = false;
        self.due = Some(now);
    }

    /// No further one comes, and who is here leaves: there are fewer workers now.
    pub(super) fn retire(&mut self, within: Duration, now: Instant) -> Vec<Action> {
        self.retired = true;
        let actions = self.stop(within, Idle::Linger);
        if let Some(mut current) = self.current.take() {
            if let Life::Stopping { by } = &mut current.life {
                *by = Some(now + within);
            }
            self.leaving.push(current);
        }
        actions
    }

    /// No further one comes.
    pub(super) fn give_up(&mut self) {
        self.due = None;
        self.recycle = None;
    }

    /// Asks a ready process to end, and one that was asked before once more; one that is still
    /// starting has nothing to finish.
    pub(super) fn stop(&mut self, within: Duration, idle: Idle) -> Vec<Action> {
        self.give_up();
        if let Some(next) = self.coming.take() {
            self.leaving.push(next);
        }
        let mut actions = vec![];
        for one in self.current.iter_mut().chain(&mut self.leaving) {
            let pid = one.pid;
            match one.life {
                Life::Ready { .. } => {
                    one.life = Life::Stopping { by: None };
                    actions.push(Action::StopChild { pid, within, idle });
                }
                Life::Stopping { .. } if idle == Idle::Close => {
                    actions.push(Action::StopChild { pid, within, idle });
                }
                Life::Starting { .. } => {
                    one.condemn("was stopped while it started".to_owned());
                    actions.push(Action::Kill { pid });
                }
                Life::Stopping { .. } | Life::Condemned { .. } => {}
            }
        }
        actions
    }

    /// All that are here are to be killed, and no further one comes.
    pub(super) fn kill(&mut self, reason: &str) -> Vec<Action> {
        self.give_up();
        let mut actions = vec![];
        for one in self.current.iter_mut().chain(&mut self.coming).chain(&mut self.leaving) {
            one.condemn(reason.to_owned());
            actions.push(Action::Kill { pid: one.pid });
        }
        actions
    }
}
