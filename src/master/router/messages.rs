//! Messages: send and forget. Pure.
//!
//! ```text
//!   a Send -> kept for the app, until the cluster is ready -> its receivers, each of which
//!             gets it, or keeps it while it starts, or drops it past its bound
//! ```
//!
//! What is for an agent that is being replaced waits for the next one.

use super::{
    Config,
    deck::Deck,
    members::{Held, Letter, Member, Members, Outgoing},
};
use crate::cluster::{Pid, Role, Target};

/// What is kept, and the choice of [`Target::Random`].
#[derive(Debug)]
pub(super) struct Messages {
    /// `None` once the cluster is ready.
    early: Option<Held<Target>>,
    /// For the next agent.
    for_agent: Held<()>,
    deck: Deck,
}

impl Messages {
    pub(super) fn new(seed: u64) -> Self {
        Self { early: Some(Held::default()), for_agent: Held::default(), deck: Deck::new(seed) }
    }

    /// Routes, or keeps until the cluster is ready.
    pub(super) fn send(
        &mut self,
        to: Target,
        letter: Letter,
        members: &mut Members,
        config: &Config,
        out: &mut Vec<Outgoing>,
    ) {
        let sender = letter.sender.pid;
        let Some(early) = &mut self.early else { return self.route(to, letter, members, config, out) };
        if !early.push(to, &letter, config.queue_size)
            && let Some(member) = members.get_mut(sender)
        {
            member.counters.dropped += 1;
        }
    }

    /// The cluster is ready: what was kept goes out in its order.
    pub(super) fn route_early(&mut self, members: &mut Members, config: &Config, out: &mut Vec<Outgoing>) {
        let Some(mut early) = self.early.take() else { return };
        for (to, letter) in early.take() {
            self.route(to, letter, members, config, out);
        }
    }

    fn route(
        &mut self,
        to: Target,
        letter: Letter,
        members: &mut Members,
        config: &Config,
        out: &mut Vec<Outgoing>,
    ) {
        let bound = config.queue_size;
        match to {
            Target::Broadcast => {
                if config.agent && members.agent().is_none() {
                    self.keep_for_agent(&letter, members, bound);
                }
                deliver_all(members.iter_mut(), letter, bound, out);
            }
            Target::App => {
                let workers = members.iter_mut().filter(|member| member.process.role == Role::Worker);
                deliver_all(workers, letter, bound, out);
            }
            Target::Agent => match members.agent().map(|agent| agent.process.pid) {
                Some(pid) => deliver(pid, letter, members, bound, out),
                None if config.agent => self.keep_for_agent(&letter, members, bound),
                None => nobody(letter.sender.pid, members),
            },
            Target::Random => {
                let cost = letter.cost();
                match self.deck.draw(members, |member| member.has_room(cost, bound)) {
                    Some(pid) => deliver(pid, letter, members, bound, out),
                    None => nobody(letter.sender.pid, members),
                }
            }
            Target::Pid(pid) => deliver(pid, letter, members, bound, out),
        }
    }

    fn keep_for_agent(&mut self, letter: &Letter, members: &mut Members, bound: usize) {
        let sender = letter.sender.pid;
        if !self.for_agent.push((), letter, bound) {
            nobody(sender, members);
        }
    }

    /// A new agent inherits what came while there was none.
    pub(super) fn agent_added(&mut self, agent: &mut Member) {
        agent.held = std::mem::take(&mut self.for_agent);
    }

    /// The only agent is gone: what it had not been sent yet waits for the next one.
    pub(super) fn agent_gone(&mut self, agent: Member) {
        self.for_agent = agent.held;
    }
}

fn deliver(pid: Pid, letter: Letter, members: &mut Members, bound: usize, out: &mut Vec<Outgoing>) {
    match members.get_mut(pid) {
        Some(member) => member.deliver(letter, bound, out),
        None => nobody(letter.sender.pid, members),
    }
}

/// To each of them, the letter itself to the last.
fn deliver_all<'m>(
    receivers: impl Iterator<Item = &'m mut Member>,
    letter: Letter,
    bound: usize,
    out: &mut Vec<Outgoing>,
) {
    let mut receivers = receivers.peekable();
    while let Some(member) = receivers.next() {
        if receivers.peek().is_none() {
            member.deliver(letter, bound, out);
            return;
        }
        member.deliver(letter.clone(), bound, out);
    }
}

/// There is no receiver who could count it: the sender does.
fn nobody(sender: Pid, members: &mut Members) {
    if let Some(member) = members.get_mut(sender) {
        member.counters.dropped += 1;
    }
}
