//! Questions: who asked whom, and until when. Pure.
//!
//! ```text
//!   Ask -> posed at once, or held while the one asked starts -> Answered
//!            |                                                     ^
//!            +-- time is up, the one asked is gone: Answered(Err) -+     the asker is gone: forgotten
//! ```

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Config, Violation,
    members::{Letter, Members, Outgoing, answered, question},
};
use crate::{
    cluster::{AskError, AskTarget, Pid, Role},
    ipc::message::{AskId, QuestionId, ToChild},
    master::reason::{MAX_REASON, cut},
};

/// The most questions that one process may have open.
pub(crate) const MAX_OPEN_QUESTIONS: usize = 1024;

/// How long the master remembers a question past its deadline: the asker's own timer goes first.
pub(crate) const DEADLINE_SLACK: Duration = Duration::from_secs(1);

/// A question that is open.
#[derive(Debug)]
struct Open {
    asker: Pid,
    ask: AskId,
    /// `None`: the next agent, while there is none.
    target: Option<Pid>,
    /// The asker waits until then.
    deadline: Instant,
    /// What it takes of the target's bound.
    cost: usize,
    /// What is to be posed once the target takes questions.
    held: Option<Letter>,
}

/// All open questions of an app.
#[derive(Debug, Default)]
pub(super) struct Questions {
    last: u64,
    open: HashMap<QuestionId, Open>,
    deadlines: BTreeSet<(Instant, QuestionId)>,
    /// Bytes of those for the next agent. Kept, since each new one of them asks for it.
    waiting_bytes: usize,
    late: u64,
}

impl Questions {
    /// Answers that came for questions that were no longer open.
    pub(super) fn late(&self) -> u64 {
        self.late
    }

    #[expect(clippy::too_many_arguments, reason = "what an Ask has, and what routing needs")]
    pub(super) fn ask(
        &mut self,
        ask: AskId,
        to: AskTarget,
        letter: &Letter,
        timeout: Duration,
        members: &mut Members,
        config: &Config,
        now: Instant,
        out: &mut Vec<Outgoing>,
    ) {
        let asker = letter.sender.pid;
        let timeout =
            if timeout.is_zero() { config.request_timeout } else { timeout.min(config.request_timeout) };
        let mut refuse = |why| out.push(answered(asker, ask, None, Err(why), Bytes::new()));
        let targets: Vec<Option<Pid>> = match to {
            AskTarget::Agent if !config.agent => return refuse(AskError::NoSuchProcess),
            AskTarget::Agent => vec![members.agent().map(|agent| agent.process.pid)],
            AskTarget::Pid(pid) if members.get(pid).is_none() => return refuse(AskError::NoSuchProcess),
            AskTarget::Pid(pid) => vec![Some(pid)],
            AskTarget::App => members.ready_workers().map(Some).collect(),
        };
        if targets.is_empty() {
            return refuse(AskError::NoSuchProcess);
        }
        let asking = members.get(asker).map_or(0, |member| member.asking);
        if asking + targets.len() > MAX_OPEN_QUESTIONS {
            return refuse(AskError::Overloaded);
        }
        if to == AskTarget::App {
            let pids = targets.iter().filter_map(|pid| *pid).collect();
            out.push(Outgoing { to: asker, frame: ToChild::Asked { ask, pids }, data: Bytes::new() });
        }
        for target in targets {
            let asked = Asked { ask, target, timeout, deadline: now + timeout };
            self.pose(&asked, letter, members, config, out);
        }
    }

    /// Poses one, or holds it.
    fn pose(
        &mut self,
        asked: &Asked,
        letter: &Letter,
        members: &mut Members,
        config: &Config,
        out: &mut Vec<Outgoing>,
    ) {
        let Asked { ask, target, timeout, deadline } = *asked;
        let asker = letter.sender.pid;
        let cost = letter.cost();
        let id = QuestionId(self.last + 1);
        // A question for the next agent is bounded by what its asker has open.
        let member = target.and_then(|pid| members.get_mut(pid));
        let mut held = None;
        match member {
            Some(member) => {
                if member.question_bytes + cost > config.queue_size {
                    out.push(answered(asker, ask, target, Err(AskError::Overloaded), Bytes::new()));
                    return;
                }
                member.question_bytes += cost;
                if member.has_started() {
                    out.push(question(member.process.pid, id, letter.clone(), timeout));
                } else {
                    held = Some(letter.kept());
                }
            }
            None if self.waiting_bytes + cost > config.queue_size => {
                out.push(answered(asker, ask, target, Err(AskError::Overloaded), Bytes::new()));
                return;
            }
            None => {
                self.waiting_bytes += cost;
                held = Some(letter.kept());
            }
        }
        self.last += 1;
        if let Some(member) = members.get_mut(asker) {
            member.asking += 1;
        }
        self.deadlines.insert((deadline, id));
        self.open.insert(id, Open { asker, ask, target, deadline, cost, held });
    }

    /// An answer from `from`.
    pub(super) fn answer(
        &mut self,
        from: Pid,
        id: QuestionId,
        mut outcome: Result<(), AskError>,
        data: Bytes,
        members: &mut Members,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Violation> {
        match self.open.get(&id) {
            Some(open) if open.target == Some(from) && open.held.is_none() => {}
            None if id.0 <= self.last => {
                self.late += 1;
                return Ok(());
            }
            Some(_) | None => return Err(Violation("answered a question that it was not asked")),
        }
        if let Err(AskError::Failed(why) | AskError::InvalidAction(why)) = &mut outcome {
            cut(why, MAX_REASON);
        }
        if let Some(open) = self.close(id, members) {
            out.push(answered(open.asker, open.ask, Some(from), outcome, data));
        }
        Ok(())
    }

    /// The link to its target refused it.
    pub(super) fn refused(&mut self, id: QuestionId, members: &mut Members, out: &mut Vec<Outgoing>) {
        self.fail(id, AskError::Overloaded, members, out);
    }

    /// This process takes questions now: what was held for it is posed.
    pub(super) fn ready(&mut self, pid: Pid, members: &mut Members, now: Instant, out: &mut Vec<Outgoing>) {
        let Some(member) = members.get_mut(pid) else { return };
        let is_agent = member.process.role == Role::Agent;
        let mut ids: Vec<QuestionId> = self
            .open
            .iter()
            .filter(|(_, open)| open.held.is_some())
            .filter(|(_, open)| open.target == Some(pid) || (is_agent && open.target.is_none()))
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        for id in ids {
            let Some(open) = self.open.get_mut(&id) else { continue };
            if open.target.is_none() {
                open.target = Some(pid);
                self.waiting_bytes -= open.cost;
                member.question_bytes += open.cost;
            }
            if let Some(letter) = open.held.take() {
                out.push(question(pid, id, letter, open.deadline.saturating_duration_since(now)));
            }
        }
    }

    /// A process is gone: its own questions are forgotten, those to it fail. Those that an agent
    /// had not been asked yet wait for the next one.
    pub(super) fn gone(&mut self, pid: Pid, was_agent: bool, members: &mut Members, out: &mut Vec<Outgoing>) {
        let mut concerned: Vec<QuestionId> = self
            .open
            .iter()
            .filter(|(_, open)| open.asker == pid || open.target == Some(pid))
            .map(|(id, _)| *id)
            .collect();
        concerned.sort_unstable();
        for id in concerned {
            let Some(open) = self.open.get_mut(&id) else { continue };
            if open.asker == pid {
                self.close(id, members);
            } else if was_agent && open.held.is_some() {
                self.waiting_bytes += open.target.take().map_or(0, |_| open.cost);
            } else {
                self.fail(id, AskError::NoSuchProcess, members, out);
            }
        }
    }

    /// Ends what is past its time.
    pub(super) fn tick(&mut self, now: Instant, members: &mut Members, out: &mut Vec<Outgoing>) {
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline + DEADLINE_SLACK <= now
        {
            self.fail(id, AskError::Timeout, members, out);
        }
    }

    /// When [`Questions::tick`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline + DEADLINE_SLACK)
    }

    fn fail(&mut self, id: QuestionId, why: AskError, members: &mut Members, out: &mut Vec<Outgoing>) {
        if let Some(open) = self.close(id, members) {
            out.push(answered(open.asker, open.ask, open.target, Err(why), Bytes::new()));
        }
    }

    fn close(&mut self, id: QuestionId, members: &mut Members) -> Option<Open> {
        let open = self.open.remove(&id)?;
        self.deadlines.remove(&(open.deadline, id));
        if let Some(asker) = members.get_mut(open.asker) {
            asker.asking = asker.asking.saturating_sub(1);
        }
        if open.target.is_none() {
            self.waiting_bytes -= open.cost;
        } else if let Some(target) = open.target.and_then(|pid| members.get_mut(pid)) {
            target.question_bytes = target.question_bytes.saturating_sub(open.cost);
        }
        Some(open)
    }
}

/// One question to one process.
struct Asked {
    ask: AskId,
    target: Option<Pid>,
    timeout: Duration,
    deadline: Instant,
}
