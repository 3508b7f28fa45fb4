//! Routes messages, questions and tasks between the processes of one app. Pure: it reads envelopes
//! and never data, does no I/O and reads no clock.
//!
//! ```text
//!   a child's frame -> handle -> messages | questions | tasks -> Outgoing frames
//! ```
//!
//! `app` calls it with every frame that a child sends after its `Ready`, and with what `state` says
//! of its processes, and puts the outgoing frames on their links. The sender is always the child
//! whose socket it came in on.

mod deck;
mod members;
mod messages;
mod questions;
mod quota;
mod tasks;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::Bytes;

pub(crate) use self::members::{Counters, Outgoing};
use self::{
    members::{Letter, Member, Members, answered},
    messages::Messages,
    questions::Questions,
    quota::{Quota, Verdict},
    tasks::{Tasks, Wanted},
};
use crate::{
    cluster::{AskError, AskTarget, Pid, Process, Role, State, message_cost},
    ipc::message::{ToChild, ToMaster},
};

/// What routing must know of an app.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// Does the app have an agent process?
    pub(crate) agent: bool,
    /// Bytes that wait for one process, or for the cluster to become ready.
    pub(crate) queue_size: usize,
    /// Data of one message, question or answer, in bytes.
    pub(crate) message_size: usize,
    /// The longest that a question may take.
    pub(crate) request_timeout: Duration,
    /// Of the choice of random workers.
    pub(crate) seed: u64,
    /// Messages and questions a second, of all its processes together.
    pub(crate) message_rate: u32,
}

/// A child did what no honest one does; it is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

/// The routes of one app.
#[derive(Debug)]
pub(crate) struct Router {
    config: Config,
    members: Members,
    messages: Messages,
    questions: Questions,
    tasks: Tasks,
    /// Of processes that are gone.
    dropped_before: u64,
    quota: Quota,
}

impl Router {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            members: Members::default(),
            messages: Messages::new(config.seed),
            questions: Questions::default(),
            tasks: Tasks::new(config.seed ^ 1),
            dropped_before: 0,
            quota: Quota::new(config.message_rate),
        }
    }

    /// A process was spawned. Its messages and questions wait for it.
    pub(crate) fn added(&mut self, mut process: Process) {
        process.state = State::Starting;
        let is_agent = process.role == Role::Agent;
        let member = self.members.add(process);
        if is_agent {
            self.messages.agent_added(member);
        }
    }

    /// A process has started: it takes questions.
    pub(crate) fn ready(&mut self, pid: Pid, now: Instant, out: &mut Vec<Outgoing>) {
        let Some(member) = self.members.get_mut(pid) else { return };
        member.process.state = State::Ready;
        self.questions.ready(pid, &mut self.members, now, out);
    }

    /// Tells a process that the cluster is ready, and sends it what was held for it.
    pub(crate) fn open(&mut self, pid: Pid, out: &mut Vec<Outgoing>) {
        let Some(member) = self.members.get_mut(pid) else { return };
        out.push(Outgoing { to: pid, frame: ToChild::ClusterReady, data: Bytes::new() });
        member.open = true;
        for ((), letter) in member.held.take() {
            member.deliver(letter, self.config.queue_size, out);
        }
    }

    /// Everybody has been told: what was sent early goes out.
    pub(crate) fn cluster_ready(&mut self, out: &mut Vec<Outgoing>) {
        self.messages.route_early(&mut self.members, &self.config, out);
    }

    /// A process takes nothing new: no random messages, no questions to the whole app, no tasks.
    pub(crate) fn draining(&mut self, pid: Pid) {
        if let Some(member) = self.members.get_mut(pid) {
            member.process.state = State::Draining;
        }
    }

    /// A process is gone.
    pub(crate) fn gone(&mut self, pid: Pid, now: Instant, out: &mut Vec<Outgoing>) {
        let Some(member) = self.members.remove(pid) else { return };
        let was_agent = member.process.role == Role::Agent;
        self.quota.gone(pid);
        self.dropped_before += member.counters.dropped;
        if !was_agent {
            self.dropped_before += member.held.len();
        }
        if was_agent && self.members.agent().is_none() {
            self.messages.agent_gone(member);
        }
        self.questions.gone(pid, was_agent, &mut self.members, out);
        self.tasks.gone(pid, was_agent, &self.members, now, out);
    }

    /// A frame from a child. An error means that the child is to be killed.
    pub(crate) fn handle(
        &mut self,
        from: Pid,
        frame: ToMaster,
        data: Bytes,
        now: Instant,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), Violation> {
        let Some(member) = self.members.get_mut(from) else { return Ok(()) };
        if data.len() > self.config.message_size {
            return Err(Violation("sent more data than limits.message-size"));
        }
        let sender = member.process.sender();
        match frame {
            ToMaster::Send { to, action } => {
                member.counters.received += 1;
                let receivers = self.members.receivers(to);
                if !self.may_send(from, message_cost(data.len(), receivers), now, out) {
                    if let Some(member) = self.members.get_mut(from) {
                        member.counters.dropped += 1;
                    }
                    return Ok(());
                }
                let letter = Letter { sender, action, data };
                self.messages.send(to, letter, &mut self.members, &self.config, out);
                Ok(())
            }
            ToMaster::Ask { ask, to, action, timeout } => {
                let receivers = if to == AskTarget::App { self.members.ready_workers().count() } else { 1 };
                if !self.may_send(from, message_cost(data.len(), receivers), now, out) {
                    out.push(answered(from, ask, None, Err(AskError::Overloaded), Bytes::new()));
                    return Ok(());
                }
                let letter = Letter { sender, action, data };
                let (members, config) = (&mut self.members, &self.config);
                self.questions.ask(ask, to, &letter, timeout, members, config, now, out);
                Ok(())
            }
            ToMaster::Answer { question, outcome } => {
                self.quota.answered(message_cost(data.len(), 1), now);
                self.questions.answer(from, question, outcome, data, &mut self.members, out)
            }
            ToMaster::Consumed { messages, bytes } if member.consumed(messages, bytes) => Ok(()),
            ToMaster::Consumed { .. } => Err(Violation("consumed more messages than it was sent")),
            ToMaster::RunTask { run, name, on, has_payload } => {
                let wanted = Wanted { run, name, on, has_payload, payload: data };
                self.tasks.run(from, wanted, &self.members, now, out)
            }
            ToMaster::TaskDone { run, elapsed, result } => {
                self.tasks.done(from, run, elapsed, result, &self.members, out)
            }
            // `app` hears them first, and they are no messages.
            ToMaster::Recycle { .. }
            | ToMaster::Ends { .. }
            | ToMaster::Checked { .. }
            | ToMaster::Denied(_) => Ok(()),
            ToMaster::Hello { .. } | ToMaster::Ready | ToMaster::StartFailed { .. } => {
                Err(Violation("sent a frame of its start when it had started"))
            }
            // For crash reports, which `children` writes.
            ToMaster::Trapped { .. } => Ok(()),
            // For `status`; `children` keeps it.
            ToMaster::Sandboxed(_) => Ok(()),
        }
    }

    /// Does it pass `message-rate`? Its sender may be told to pause.
    fn may_send(&mut self, from: Pid, cost: u64, now: Instant, out: &mut Vec<Outgoing>) -> bool {
        let Verdict { passes, hush } = self.quota.take(from, cost, now);
        if let Some(pause) = hush {
            out.push(Outgoing { to: from, frame: ToChild::Hush { pause }, data: Bytes::new() });
        }
        passes
    }

    /// Messages and questions past `message-rate`, and how many came in about the last second.
    pub(crate) fn rate(&self, now: Instant) -> (u64, u64) {
        (self.quota.refused(), self.quota.used(now))
    }

    /// The most bytes of messages that wait for one process.
    pub(crate) fn queued(&self) -> usize {
        self.members.iter().map(Member::queued).max().unwrap_or_default()
    }

    /// The link to a child had no room for this frame.
    pub(crate) fn refused(&mut self, outgoing: Outgoing, out: &mut Vec<Outgoing>) {
        match outgoing.frame {
            ToChild::Message { sender, action } => {
                let cost = Letter { sender, action, data: outgoing.data }.cost();
                if let Some(member) = self.members.get_mut(outgoing.to) {
                    member.unsent(cost);
                }
            }
            ToChild::Question { question, .. } => self.questions.refused(question, &mut self.members, out),
            ToChild::RunTask { run, .. } => self.tasks.refused(run, &self.members, out),
            // The asker's own timer ends its question; the rest is control, and `app` kills for it.
            ToChild::Answered { .. }
            | ToChild::Asked { .. }
            | ToChild::Boot(_)
            | ToChild::ClusterReady
            | ToChild::Processes(_)
            | ToChild::RunEnded { .. }
            | ToChild::Stop(_)
            | ToChild::Superseded
            | ToChild::Check(_)
            | ToChild::Serve
            | ToChild::Hush { .. } => {}
        }
    }

    /// Ends questions that are past their time.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Outgoing>) {
        self.questions.tick(now, &mut self.members, out);
    }

    /// When [`Router::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.questions.deadline()
    }

    /// What has gone through each process that is there.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (Pid, Counters)> {
        self.members.iter().map(|member: &Member| (member.process.pid, member.counters))
    }

    /// All messages that were dropped, also of processes that are gone.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped_before + self.members.iter().map(|member| member.counters.dropped).sum::<u64>()
    }

    /// Answers that came too late.
    pub(crate) fn late_answers(&self) -> u64 {
        self.questions.late()
    }
}
