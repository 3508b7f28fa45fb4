//! A place for one process, which outlives those that fill it. Used by `state` alone; pure.

use std::time::{Duration, Instant};

use super::{
    Action,
    backoff::{Backoff, STEADY},
};
use crate::cluster::{Pid, Process, Role, State};

/// Where the process in a slot is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nobody here; the next one comes then, if ever.
    Empty { due: Option<Instant> },
    /// Has until then to become ready.
    Starting { deadline: Instant },
    /// Since then.
    Ready { since: Instant },
    /// It was told to stop.
    Stopping,
    /// SIGKILL is on its way.
    Condemned { reason: String, ready_since: Option<Instant> },
}

/// The agent's place, or one worker's.
#[derive(Debug)]
pub(crate) struct Slot {
    /// What the process is for.
    pub(crate) role: Role,
    /// 0..N-1 for workers, 0 for the agent.
    pub(crate) slot: u32,
    pid: Option<Pid>,
    life: Life,
    backoff: Backoff,
    /// How long the last one was ready.
    lived: Duration,
    restarts: u64,
    last_exit: Option<String>,
}

impl Slot {
    pub(super) fn new(role: Role, slot: u32) -> Self {
        let life = Life::Empty { due: None };
        let backoff = Backoff::default();
        Self { role, slot, pid: None, life, backoff, lived: Duration::ZERO, restarts: 0, last_exit: None }
    }

    /// `agent` or `worker 1`.
    pub(crate) fn name(&self) -> String {
        match self.role {
            Role::Agent => "agent".to_owned(),
            Role::Worker => format!("worker {}", self.slot),
        }
    }

    /// Who is in it.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.pid
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

    /// Who is in it, as its cluster sees it.
    pub(crate) fn process(&self) -> Option<Process> {
        let state = match self.life {
            Life::Empty { .. } => return None,
            Life::Starting { .. } => State::Starting,
            Life::Ready { .. } => State::Ready,
            Life::Stopping | Life::Condemned { .. } => State::Draining,
        };
        Some(Process { pid: self.pid?, role: self.role, slot: self.slot, generation: 1, state })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Ready { .. })
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.life, Life::Empty { due: Some(due) } if due <= now)
    }

    /// A start that took too long.
    pub(super) fn overdue(&self, now: Instant) -> Option<Pid> {
        match self.life {
            Life::Starting { deadline } if deadline <= now => self.pid,
            _ => None,
        }
    }

    /// The next moment that matters to it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.life {
            Life::Empty { due } => due,
            Life::Starting { deadline } => Some(deadline),
            Life::Ready { since } if self.backoff != Backoff::default() => Some(since + STEADY),
            Life::Ready { .. } | Life::Stopping | Life::Condemned { .. } => None,
        }
    }

    pub(super) fn spawn(&mut self, pid: Pid, deadline: Instant, replacement: bool) -> Action {
        self.pid = Some(pid);
        self.life = Life::Starting { deadline };
        self.restarts += u64::from(replacement);
        Action::Spawn { pid, role: self.role, slot: self.slot, replacement }
    }

    /// False where it wasn't starting.
    pub(super) fn becomes_ready(&mut self, now: Instant) -> bool {
        let starting = matches!(self.life, Life::Starting { .. });
        if starting {
            self.life = Life::Ready { since: now };
        }
        starting
    }

    /// Forgets early deaths once the process has been ready for long.
    pub(super) fn settle(&mut self, now: Instant) {
        if let Life::Ready { since } = self.life
            && now.saturating_duration_since(since) >= STEADY
        {
            self.backoff.reset();
        }
    }

    /// It is being killed, for this reason.
    pub(super) fn condemn(&mut self, reason: String) {
        let ready_since = match self.life {
            Life::Ready { since } => Some(since),
            Life::Condemned { .. } | Life::Empty { .. } => return,
            Life::Starting { .. } | Life::Stopping => None,
        };
        self.life = Life::Condemned { reason, ready_since };
    }

    /// The process is gone.
    pub(super) fn vacate(&mut self, reason: &str, now: Instant) {
        let (since, reason) = match &self.life {
            Life::Ready { since } => (Some(*since), reason.to_owned()),
            Life::Condemned { reason: why, ready_since } => (*ready_since, format!("{why} ({reason})")),
            Life::Empty { .. } | Life::Starting { .. } | Life::Stopping => (None, reason.to_owned()),
        };
        self.lived = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.last_exit = Some(reason);
        self.pid = None;
        self.life = Life::Empty { due: None };
    }

    /// When the next one comes.
    pub(super) fn schedule(&mut self, now: Instant, jitter: f64) {
        let wait = self.backoff.ended(self.lived, jitter);
        self.life = Life::Empty { due: Some(now + wait) };
    }

    /// No further one comes.
    pub(super) fn give_up(&mut self) {
        if self.pid.is_none() {
            self.life = Life::Empty { due: None };
        }
    }

    /// Asks a ready process to end; one that is still starting has nothing to finish.
    pub(super) fn stop(&mut self) -> Option<Action> {
        self.give_up();
        let pid = self.pid?;
        match self.life {
            Life::Ready { .. } => {
                self.life = Life::Stopping;
                Some(Action::StopChild { pid })
            }
            Life::Starting { .. } => {
                self.condemn("was stopped while it started".to_owned());
                Some(Action::Kill { pid })
            }
            Life::Empty { .. } | Life::Stopping | Life::Condemned { .. } => None,
        }
    }
}
