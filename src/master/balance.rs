//! Which worker gets which connection. Pure: what happened, and when -> what is to be sent.
//!
//! ```text
//!   arrived -> waiting -> offered to a worker -> sent to it -> taken: ours no more
//!                 ^             |                   |
//!                 +-- refused, unanswered, or the worker is busy or gone
//! ```
//!
//! `listeners` calls it and owns the connections; this knows them by number. It must not do I/O.

mod share;
mod worker;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

pub(crate) use self::share::Share;
use self::share::Side;
use self::worker::Worker;
use crate::{
    cluster::Pid,
    ipc::handoff::{ConnectionId, FromWorker},
};

/// A worker that has not answered an offer by then, or not taken what it was sent, is passed over
/// until it answers.
pub(crate) const OFFER_TIMEOUT: Duration = Duration::from_millis(100);

/// A worker that refused is not asked again before that, or before one of its connections closes.
pub(crate) const REFUSAL_PAUSE: Duration = Duration::from_millis(50);

/// A worker that is busy is asked no sooner, as long as another one is not.
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The most connections that are under way to one worker: offered or sent, and not taken.
pub(crate) const MAX_UNDER_WAY: usize = 64;

/// How the next worker is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// In turn.
    RoundRobin,
    /// The one with the fewest, in turn among equals.
    LeastConnections,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask the worker.
    Offer(Pid, ConnectionId),
    /// Ask the worker, though it said that it is busy: all are.
    Insist(Pid, ConnectionId),
    /// Send the connection; the master's copy is kept.
    Send(Pid, ConnectionId),
    /// The worker has it: the master's copy is to be dropped.
    Drop(ConnectionId),
}

/// A worker did what no honest one does; it is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting,
    Offered { to: Pid, lapses: Instant },
    Sent { to: Pid, lapses: Instant },
}

/// The connections and workers of one app.
#[derive(Debug)]
pub(crate) struct Balance {
    policy: Policy,
    /// Those that are ready, oldest first.
    workers: Vec<Worker>,
    /// Those that are draining: they may still answer, take what was sent, and close.
    draining: Vec<Worker>,
    /// Whose turn it is, as an index: by [`Side`], where there is a share, and else the first.
    turns: [usize; 2],
    /// A canary's part of the connections.
    share: Option<Share>,
    places: HashMap<ConnectionId, Place>,
    waiting: VecDeque<ConnectionId>,
    /// What was offered and sent, by the time at which it lapses; also what was answered.
    offers: VecDeque<(Instant, ConnectionId, Pid)>,
    /// The highest number seen.
    last: u64,
}

impl Balance {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            workers: vec![],
            draining: vec![],
            turns: [0; 2],
            share: None,
            places: HashMap::new(),
            waiting: VecDeque::new(),
            offers: VecDeque::new(),
            last: 0,
        }
    }

    /// Connections that the master still holds.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.places.len()
    }

    /// Is there anybody to offer connections to?
    pub(crate) fn has_workers(&self) -> bool {
        !self.workers.is_empty()
    }

    /// A connection was accepted. Numbers only grow.
    pub(crate) fn arrived(&mut self, id: ConnectionId, now: Instant, steps: &mut Vec<Step>) {
        self.last = self.last.max(id.0);
        self.places.insert(id, Place::Waiting);
        self.waiting.push_back(id);
        self.dispatch(now, steps);
    }

    /// A worker of this generation takes connections from now on.
    pub(crate) fn ready(&mut self, pid: Pid, generation: u64, now: Instant, steps: &mut Vec<Step>) {
        if self.index(pid).is_none() {
            self.workers.push(Worker::new(pid, generation));
            self.dispatch(now, steps);
        }
    }

    /// From now on one generation gets a share, and the others the rest. None: all are alike.
    pub(crate) fn share(&mut self, share: Option<Share>) {
        self.share = share;
    }

    /// A worker takes nothing new. What was sent to it stays its own.
    pub(crate) fn draining(&mut self, pid: Pid, now: Instant, steps: &mut Vec<Step>) {
        if let Some(worker) = self.leave(pid) {
            self.draining.push(worker);
            self.take_back(|place| matches!(place, Place::Offered { to, .. } if to == pid));
            self.dispatch(now, steps);
        }
    }

    /// A worker is gone: what it had not taken is offered to others.
    pub(crate) fn gone(&mut self, pid: Pid, now: Instant, steps: &mut Vec<Step>) {
        self.leave(pid);
        self.draining.retain(|draining| draining.pid != pid);
        self.take_back(|place| match place {
            Place::Offered { to, .. } | Place::Sent { to, .. } => to == pid,
            Place::Waiting => false,
        });
        self.dispatch(now, steps);
    }

    /// What a worker said.
    pub(crate) fn answered(
        &mut self,
        pid: Pid,
        answer: FromWorker,
        now: Instant,
        steps: &mut Vec<Step>,
    ) -> Result<(), Violation> {
        match answer {
            FromWorker::Accept(id) => self.accepted(pid, id, now, steps)?,
            FromWorker::Refuse(id) => self.refused(pid, id, now)?,
            FromWorker::Taken(id) => self.taken(pid, id, steps)?,
            FromWorker::Closed(id) => self.closed(pid, id)?,
            FromWorker::Busy(id) => self.busy(pid, id, now)?,
        }
        self.dispatch(now, steps);
        Ok(())
    }

    /// Passes over who did not answer, and asks again who was full.
    pub(crate) fn tick(&mut self, now: Instant, steps: &mut Vec<Step>) {
        while let Some(&(lapses, id, pid)) = self.offers.front()
            && (lapses <= now || !self.is_open(id, pid, lapses))
        {
            self.offers.pop_front();
            if !self.is_open(id, pid, lapses) {
                continue;
            }
            // What was sent stays with it: no connection is ever in two places.
            let was_offered = matches!(self.places.get(&id), Some(Place::Offered { .. }));
            if was_offered {
                self.places.insert(id, Place::Waiting);
                self.waiting.push_front(id);
            }
            if let Some(at) = self.index(pid) {
                self.workers[at].stalled = true;
                self.workers[at].under_way -= usize::from(was_offered);
            }
        }
        for worker in &mut self.workers {
            worker.full_until = worker.full_until.filter(|until| *until > now);
        }
        self.dispatch(now, steps);
    }

    /// When [`Balance::tick`] is due; sometimes earlier than need be, for offers that were answered.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let lapses = self.offers.iter().map(|offer| offer.0).next();
        let full = self.workers.iter().filter_map(|worker| worker.full_until).min();
        let full = full.filter(|_| !self.waiting.is_empty());
        lapses.into_iter().chain(full).min()
    }

    fn accepted(
        &mut self,
        pid: Pid,
        id: ConnectionId,
        now: Instant,
        steps: &mut Vec<Step>,
    ) -> Result<(), Violation> {
        self.check_number(id)?;
        self.known(pid)?.answers()?;
        // One that drains takes nothing new.
        let Some(at) = self.index(pid) else { return Ok(()) };
        match self.places.get(&id) {
            Some(Place::Offered { to, .. }) if *to == pid => {}
            // It answers late, but nobody else has been found.
            Some(Place::Waiting) => {
                self.waiting.retain(|waiting| *waiting != id);
                self.workers[at].under_way += 1;
            }
            Some(Place::Offered { .. } | Place::Sent { .. }) | None => return Ok(()),
        }
        let lapses = now + OFFER_TIMEOUT;
        self.workers[at].owed += 1;
        self.places.insert(id, Place::Sent { to: pid, lapses });
        self.offers.push_back((lapses, id, pid));
        steps.push(Step::Send(pid, id));
        Ok(())
    }

    fn refused(&mut self, pid: Pid, id: ConnectionId, now: Instant) -> Result<(), Violation> {
        let refused = self.given_back(pid, id)?;
        if let Some(worker) = refused {
            worker.full_until = Some(now + REFUSAL_PAUSE);
        }
        Ok(())
    }

    fn busy(&mut self, pid: Pid, id: ConnectionId, now: Instant) -> Result<(), Violation> {
        let busy = self.given_back(pid, id)?;
        if let Some(worker) = busy {
            worker.busy_until = Some(now + BUSY_PAUSE);
        }
        Ok(())
    }

    /// What a worker does not take waits again. Gives that worker, where it is a ready one.
    fn given_back(&mut self, pid: Pid, id: ConnectionId) -> Result<Option<&mut Worker>, Violation> {
        self.check_number(id)?;
        self.known(pid)?.answers()?;
        let was_its = match self.places.get(&id) {
            // A worker that has no fd left can't take what it was sent.
            Some(Place::Offered { to, .. } | Place::Sent { to, .. }) => *to == pid,
            Some(Place::Waiting) | None => false,
        };
        if was_its {
            self.places.insert(id, Place::Waiting);
            self.waiting.push_front(id);
        }
        let Some(at) = self.index(pid) else { return Ok(None) };
        let worker = &mut self.workers[at];
        worker.under_way -= usize::from(was_its);
        Ok(Some(worker))
    }

    fn taken(&mut self, pid: Pid, id: ConnectionId, steps: &mut Vec<Step>) -> Result<(), Violation> {
        if !matches!(self.places.get(&id), Some(Place::Sent { to, .. }) if *to == pid) {
            return Err(Violation("took a connection that it was not sent"));
        }
        let worker = self.known(pid)?;
        worker.answers()?;
        worker.under_way -= 1;
        worker.open += 1;
        self.places.remove(&id);
        steps.push(Step::Drop(id));
        Ok(())
    }

    fn closed(&mut self, pid: Pid, id: ConnectionId) -> Result<(), Violation> {
        self.check_number(id)?;
        let worker = self.known(pid)?;
        let Some(open) = worker.open.checked_sub(1) else {
            return Err(Violation("closed more connections than it took"));
        };
        worker.open = open;
        worker.full_until = None;
        Ok(())
    }

    fn check_number(&self, id: ConnectionId) -> Result<(), Violation> {
        if id.0 > self.last { Err(Violation("spoke of a connection that there never was")) } else { Ok(()) }
    }

    fn is_open(&self, id: ConnectionId, to: Pid, lapses: Instant) -> bool {
        let place = self.places.get(&id);
        [Place::Offered { to, lapses }, Place::Sent { to, lapses }].iter().any(|open| place == Some(open))
    }

    /// One that was asked, or may have been.
    fn known(&mut self, pid: Pid) -> Result<&mut Worker, Violation> {
        let mut all = self.workers.iter_mut().chain(&mut self.draining);
        all.find(|worker| worker.pid == pid).ok_or(Violation("answered more than it was asked"))
    }

    fn index(&self, pid: Pid) -> Option<usize> {
        self.workers.iter().position(|worker| worker.pid == pid)
    }

    /// Offers what waits, for as long as somebody takes offers.
    fn dispatch(&mut self, now: Instant, steps: &mut Vec<Step>) {
        for worker in &mut self.workers {
            worker.busy_until = worker.busy_until.filter(|until| *until > now);
        }
        // Nothing waits only because all are busy. Offers change nothing about that.
        let all_busy = self.workers.iter().all(|worker| !worker.is_well() || worker.busy_until.is_some());
        while let Some(id) = self.waiting.front().copied() {
            let side = self.share.and_then(|share| self.side(share, id, all_busy));
            let Some(at) = self.choose(side, all_busy) else { return };
            self.waiting.pop_front();
            self.turns[side.unwrap_or_default() as usize] = at + 1;
            let worker = &mut self.workers[at];
            worker.under_way += 1;
            worker.owed += 1;
            let (to, lapses) = (worker.pid, now + OFFER_TIMEOUT);
            self.places.insert(id, Place::Offered { to, lapses });
            self.offers.push_back((lapses, id, to));
            steps.push(if all_busy { Step::Insist(to, id) } else { Step::Offer(to, id) });
        }
    }

    /// Whose connection this is. Where nobody there can take one, it is anybody's.
    fn side(&self, share: Share, id: ConnectionId, busy_too: bool) -> Option<Side> {
        let side = share.of_connection(id);
        let its = |worker: &&Worker| share.of_worker(worker.generation) == side;
        self.workers.iter().filter(its).any(|worker| self.may_take(worker, busy_too)).then_some(side)
    }

    fn may_take(&self, worker: &Worker, busy_too: bool) -> bool {
        let is_free = match self.policy {
            // One that is only slower than the others is waited for, or turns would be lost in a
            // burst; it answers, or stalls and is passed over.
            Policy::RoundRobin => worker.is_well(),
            Policy::LeastConnections => worker.takes_offers(),
        };
        is_free && (busy_too || worker.busy_until.is_none())
    }

    fn choose(&self, side: Option<Side>, busy_too: bool) -> Option<usize> {
        let count = self.workers.len();
        let turn = self.turns[side.unwrap_or_default() as usize];
        let mut in_turn = (0..count).map(|step| (turn + step) % count).filter(|at| {
            let worker = &self.workers[*at];
            let is_its = match (side, self.share) {
                (Some(side), Some(share)) => share.of_worker(worker.generation) == side,
                (_, _) => true,
            };
            is_its && self.may_take(worker, busy_too)
        });
        match self.policy {
            Policy::RoundRobin => in_turn.next().filter(|at| self.workers[*at].takes_offers()),
            Policy::LeastConnections => {
                in_turn.min_by_key(|at| self.workers[*at].open + self.workers[*at].under_way)
            }
        }
    }

    /// `None` where it wasn't among the ready ones.
    fn leave(&mut self, pid: Pid) -> Option<Worker> {
        let at = self.index(pid)?;
        let worker = self.workers.remove(at);
        for turn in &mut self.turns {
            *turn -= usize::from(at < *turn);
        }
        Some(worker)
    }

    /// Puts back what is in such a place, the oldest first.
    fn take_back(&mut self, is_its: impl Fn(Place) -> bool) {
        let mut back: Vec<_> =
            self.places.iter().filter(|(_, place)| is_its(**place)).map(|(id, _)| *id).collect();
        back.sort_unstable();
        for id in back.into_iter().rev() {
            self.places.insert(id, Place::Waiting);
            self.waiting.push_front(id);
        }
    }
}

#[cfg(test)]
mod tests;
