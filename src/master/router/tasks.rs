//! Runs of scheduled tasks: the agent wants one, workers do it. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Violation,
    deck::Deck,
    members::{Members, Outgoing, run_ended},
};
use crate::{
    cluster::{Pid, Role},
    ipc::{
        codec::MAX_ENVELOPE,
        message::{RunId, TaskOutcome, ToChild},
    },
    manifest::RunOn,
    master::reason::{MAX_REASON, cut},
};

/// The most runs that the agent may have open.
pub(crate) const MAX_OPEN_RUNS: usize = 1024;

/// The most bytes of the errors of one run: they share a frame.
const MAX_OUTCOMES: usize = MAX_ENVELOPE / 2;

/// What the agent asks for.
pub(super) struct Wanted {
    pub(super) run: RunId,
    pub(super) name: String,
    pub(super) on: RunOn,
    pub(super) has_payload: bool,
    pub(super) payload: Bytes,
}

/// What one worker was given.
#[derive(Debug)]
struct Given {
    to: Pid,
    slot: u32,
    /// The agent that wants it, and its number.
    run: (Pid, RunId),
    since: Instant,
}

/// What the agent waits for.
#[derive(Debug)]
struct Run {
    missing: usize,
    /// The most bytes of each error, so that they fit a frame together.
    share: usize,
    outcomes: Vec<TaskOutcome>,
}

/// All runs of an app.
#[derive(Debug)]
pub(super) struct Tasks {
    last: u64,
    given: BTreeMap<RunId, Given>,
    runs: HashMap<(Pid, RunId), Run>,
    deck: Deck,
}

impl Tasks {
    pub(super) fn new(seed: u64) -> Self {
        Self { last: 0, given: BTreeMap::new(), runs: HashMap::new(), deck: Deck::new(seed) }
    }

    /// Bytes of the errors that wait for the rest of their runs.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let errors =
            self.runs.values().flat_map(|run| &run.outcomes).filter_map(|one| one.result.as_ref().err());
        errors.map(String::capacity).sum()
    }

    pub(super) fn run(
        &mut self,
        from: Pid,
        wanted: Wanted,
        members: &Members,
        now: Instant,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Violation> {
        let Wanted { run, name, on, has_payload, payload } = wanted;
        if members.get(from).is_none_or(|member| member.process.role != Role::Agent) {
            return Err(Violation("asked for a task though it is not the agent"));
        }
        if self.runs.contains_key(&(from, run)) {
            return Err(Violation("used the number of a run twice"));
        }
        let targets: Vec<Pid> = match on {
            RunOn::One => self.deck.draw(members, |_| true).into_iter().collect(),
            RunOn::All => members.ready_workers().collect(),
            RunOn::Agent => return Err(Violation("asked the master to run the agent's own task")),
        };
        if targets.is_empty() {
            out.push(run_ended(from, run, vec![]));
            return Ok(());
        }
        if self.runs.len() >= MAX_OPEN_RUNS {
            let result = Err(format!("{MAX_OPEN_RUNS} runs of this app's schedules are open already"));
            let full = |pid| TaskOutcome { pid, elapsed: Duration::ZERO, result: result.clone() };
            out.push(run_ended(from, run, targets.into_iter().map(full).collect()));
            return Ok(());
        }
        let share = MAX_REASON.min(MAX_OUTCOMES / targets.len());
        self.runs.insert((from, run), Run { missing: targets.len(), share, outcomes: vec![] });
        for to in targets {
            self.last += 1;
            let id = RunId(self.last);
            let slot = members.get(to).map_or(0, |member| member.process.slot);
            self.given.insert(id, Given { to, slot, run: (from, run), since: now });
            let frame = ToChild::RunTask { run: id, name: name.clone(), has_payload };
            out.push(Outgoing { to, frame, data: payload.clone() });
        }
        Ok(())
    }

    pub(super) fn done(
        &mut self,
        from: Pid,
        id: RunId,
        elapsed: Duration,
        result: Result<(), String>,
        members: &Members,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Violation> {
        match self.given.get(&id) {
            Some(given) if given.to == from => {}
            // Its agent is gone.
            None if id.0 <= self.last => return Ok(()),
            Some(_) | None => return Err(Violation("ended a task that it was not given")),
        }
        self.end(id, elapsed, result, members, out);
        Ok(())
    }

    /// The link refused it.
    pub(super) fn refused(&mut self, id: RunId, members: &Members, out: &mut Vec<Outgoing>) {
        let why = Err("its queue is full".to_owned());
        self.end(id, Duration::ZERO, why, members, out);
    }

    /// A process is gone.
    pub(super) fn gone(
        &mut self,
        pid: Pid,
        was_agent: bool,
        members: &Members,
        now: Instant,
        out: &mut Vec<Outgoing>,
    ) {
        if was_agent {
            self.runs.retain(|(agent, _), _| *agent != pid);
            self.given.retain(|_, given| given.run.0 != pid);
            return;
        }
        let its: Vec<RunId> =
            self.given.iter().filter(|(_, given)| given.to == pid).map(|(id, _)| *id).collect();
        for id in its {
            let Some(given) = self.given.get(&id) else { continue };
            let elapsed = now.saturating_duration_since(given.since);
            let why = Err(format!("worker {} went away before the task ended", given.slot));
            self.end(id, elapsed, why, members, out);
        }
    }

    fn end(
        &mut self,
        id: RunId,
        elapsed: Duration,
        mut result: Result<(), String>,
        members: &Members,
        out: &mut Vec<Outgoing>,
    ) {
        let Some(given) = self.given.remove(&id) else { return };
        let Some(run) = self.runs.get_mut(&given.run) else { return };
        // At once: it may wait for others for long.
        if let Err(why) = &mut result {
            cut(why, run.share);
        }
        run.outcomes.push(TaskOutcome { pid: given.to, elapsed, result });
        run.missing -= 1;
        if run.missing > 0 {
            return;
        }
        let outcomes = std::mem::take(&mut run.outcomes);
        self.runs.remove(&given.run);
        let (agent, run) = given.run;
        if members.get(agent).is_some() {
            out.push(run_ended(agent, run, outcomes));
        }
    }
}
