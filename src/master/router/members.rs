//! Who is in the app, as far as routing goes: their state, their credit, their counters. Pure.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    cluster::{Action, AskError, Pid, Process, Role, Sender, State, Target, queued_bytes},
    ipc::message::{AskId, QuestionId, RunId, TaskOutcome, ToChild},
};

/// A frame for one child.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outgoing {
    /// For whom.
    pub(crate) to: Pid,
    /// What.
    pub(crate) frame: ToChild,
    /// Its data, never looked at.
    pub(crate) data: Bytes,
}

/// What has gone through, since the process was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Messages that it sent.
    pub(crate) received: u64,
    /// Messages that were sent to it.
    pub(crate) sent: u64,
    /// Messages for it (or, where there was nobody to take them, from it) that were dropped.
    pub(crate) dropped: u64,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) sender: Sender,
    pub(super) action: Action,
    pub(super) data: Bytes,
}

impl Letter {
    /// What it takes of a queue, in bytes.
    pub(super) fn cost(&self) -> usize {
        queued_bytes(&self.action, self.data.len())
    }

    /// To be held. The data is copied: as it came it is part of a larger read, which it would keep alive.
    pub(super) fn kept(&self) -> Self {
        let Self { sender, action, data } = self;
        Self { sender: *sender, action: action.clone(), data: Bytes::copy_from_slice(data) }
    }
}

/// Letters that can't be delivered yet, bounded in bytes.
#[derive(Debug)]
pub(super) struct Held<T> {
    letters: VecDeque<(T, Letter)>,
    bytes: usize,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { letters: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Held<T> {
    /// False where it would be past `bound` bytes: the letter is dropped.
    #[must_use]
    pub(super) fn push(&mut self, place: T, letter: &Letter, bound: usize) -> bool {
        let bytes = self.bytes.saturating_add(letter.cost());
        let fits = bytes <= bound;
        if fits {
            self.bytes = bytes;
            self.letters.push_back((place, letter.kept()));
        }
        fits
    }

    pub(super) fn len(&self) -> u64 {
        self.letters.len() as u64
    }

    pub(super) fn take(&mut self) -> VecDeque<(T, Letter)> {
        self.bytes = 0;
        std::mem::take(&mut self.letters)
    }
}

/// One process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) process: Process,
    pub(super) counters: Counters,
    /// It has been told that the cluster is ready; before that its messages are held.
    pub(super) open: bool,
    pub(super) held: Held<()>,
    /// Messages sent to it that it has not consumed.
    unread_messages: u64,
    unread_bytes: usize,
    /// Bytes of the questions that it has not answered.
    pub(super) question_bytes: usize,
    /// Its own questions that are open.
    pub(super) asking: usize,
}

impl Member {
    fn new(process: Process) -> Self {
        Self {
            process,
            counters: Counters::default(),
            open: false,
            held: Held::default(),
            unread_messages: 0,
            unread_bytes: 0,
            question_bytes: 0,
            asking: 0,
        }
    }

    /// Takes questions: its `start` has returned.
    pub(super) fn has_started(&self) -> bool {
        self.process.state != State::Starting
    }

    /// Takes new work.
    pub(super) fn is_ready_worker(&self) -> bool {
        self.process.role == Role::Worker && self.process.state == State::Ready
    }

    /// Is there room for a message of so many bytes?
    pub(super) fn has_room(&self, cost: usize, bound: usize) -> bool {
        self.unread_bytes.saturating_add(cost) <= bound
    }

    /// Bytes of messages that wait for it.
    pub(super) fn queued(&self) -> usize {
        self.unread_bytes.saturating_add(self.held.bytes)
    }

    /// Sends, holds or drops.
    pub(super) fn deliver(&mut self, letter: Letter, bound: usize, out: &mut Vec<Outgoing>) {
        if !self.open {
            if !self.held.push((), &letter, bound) {
                self.counters.dropped += 1;
            }
            return;
        }
        let cost = letter.cost();
        if !self.has_room(cost, bound) {
            self.counters.dropped += 1;
            return;
        }
        self.unread_messages += 1;
        self.unread_bytes += cost;
        self.counters.sent += 1;
        let Letter { sender, action, data } = letter;
        out.push(Outgoing { to: self.process.pid, frame: ToChild::Message { sender, action }, data });
    }

    /// Gives back credit. False where the process consumed what it never got.
    #[must_use]
    pub(super) fn consumed(&mut self, messages: u64, bytes: u64) -> bool {
        let Some(left) = self.unread_messages.checked_sub(messages) else { return false };
        let left_bytes = usize::try_from(bytes).ok().and_then(|bytes| self.unread_bytes.checked_sub(bytes));
        let Some(left_bytes) = left_bytes else { return false };
        self.unread_messages = left;
        self.unread_bytes = left_bytes;
        true
    }

    /// A message that the link refused was not sent after all.
    pub(super) fn unsent(&mut self, cost: usize) {
        self.unread_messages = self.unread_messages.saturating_sub(1);
        self.unread_bytes = self.unread_bytes.saturating_sub(cost);
        self.counters.sent = self.counters.sent.saturating_sub(1);
        self.counters.dropped += 1;
    }
}

/// All processes of the app, by pid. Pids only grow, so that adding is a push.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<Member>);

impl Members {
    pub(super) fn add(&mut self, process: Process) -> &mut Member {
        let at = self.0.partition_point(|member| member.process.pid < process.pid);
        self.0.insert(at, Member::new(process));
        &mut self.0[at]
    }

    pub(super) fn remove(&mut self, pid: Pid) -> Option<Member> {
        let at = self.index(pid)?;
        Some(self.0.remove(at))
    }

    pub(super) fn get(&self, pid: Pid) -> Option<&Member> {
        self.index(pid).map(|at| &self.0[at])
    }

    pub(super) fn get_mut(&mut self, pid: Pid) -> Option<&mut Member> {
        self.index(pid).map(|at| &mut self.0[at])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.0.iter_mut()
    }

    /// The agent's process, if it is there. While one is replaced there are two: the old one, until
    /// it is told to go.
    pub(super) fn agent(&self) -> Option<&Member> {
        let rank = |member: &&Member| match member.process.state {
            State::Ready => 2,
            State::Starting => 1,
            State::Draining => 0,
        };
        self.0.iter().filter(|member| member.process.role == Role::Agent).max_by_key(rank)
    }

    pub(super) fn ready_workers(&self) -> impl Iterator<Item = Pid> {
        self.0.iter().filter(|member| member.is_ready_worker()).map(|member| member.process.pid)
    }

    /// How many a message for `to` goes to, about.
    pub(super) fn receivers(&self, to: Target) -> usize {
        match to {
            Target::Broadcast => self.0.len(),
            Target::App => self.0.iter().filter(|member| member.process.role == Role::Worker).count(),
            Target::Agent | Target::Random | Target::Pid(_) => 1,
        }
    }

    fn index(&self, pid: Pid) -> Option<usize> {
        self.0.binary_search_by_key(&pid, |member| member.process.pid).ok()
    }
}

pub(super) fn answered(
    to: Pid,
    ask: AskId,
    pid: Option<Pid>,
    outcome: Result<(), AskError>,
    data: Bytes,
) -> Outgoing {
    Outgoing { to, frame: ToChild::Answered { ask, pid, outcome }, data }
}

pub(super) fn run_ended(to: Pid, run: RunId, outcomes: Vec<TaskOutcome>) -> Outgoing {
    Outgoing { to, frame: ToChild::RunEnded { run, outcomes }, data: Bytes::new() }
}

pub(super) fn question(to: Pid, question: QuestionId, letter: Letter, timeout: Duration) -> Outgoing {
    let Letter { sender, action, data } = letter;
    Outgoing { to, frame: ToChild::Question { question, sender, action, timeout }, data }
}
