//! Apps in turn: how much of the master's loop one app's processes may have before the others have theirs.
//!
//! ```text
//!   a child's reader --\
//!   the app's routing ---> spend -> its balance is gone -> wait ......\
//!   another's reader ---> spend -> there is some left -> go on        | a round, as often as the loop
//!                                                                      | has gone through what was due
//!                          each balance + quantum, up to a quantum <--/
//! ```
//!
//! Deficit round robin: every app has one balance for all its processes, so that 64 workers get no more
//! than one. What a thing costs is known when it is done, so a balance may fall below nothing, and is then
//! paid off a quantum a round. An app that is alone waits for nobody: its next round is the loop's next
//! turn. `apps` makes one of these for messages and one for connections; `children`, `app` and
//! `listeners` spend. [`Balances`] decides, and is pure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, task::yield_now};

/// What reading or writing a frame costs beside its bytes: as much as copying so many.
pub(crate) const FRAME: usize = 1 << 10;

/// Of frames, what an app may spend in a round.
pub(crate) const MESSAGES: u64 = 128 << 10;

/// Of connections.
pub(crate) const CONNECTIONS: u64 = 32;

/// Which app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id(u64);

/// Who has how much left.
#[derive(Debug)]
struct Balances {
    /// What each gets in a round, and the most that it may save.
    quantum: i64,
    last: u64,
    left: BTreeMap<Id, i64>,
}

impl Balances {
    fn new(quantum: u64) -> Self {
        Self { quantum: i64::try_from(quantum).unwrap_or(i64::MAX), last: 0, left: BTreeMap::new() }
    }

    /// One more, with a whole quantum.
    fn add(&mut self) -> Id {
        self.last += 1;
        let id = Id(self.last);
        self.left.insert(id, self.quantum);
        id
    }

    fn remove(&mut self, id: Id) {
        self.left.remove(&id);
    }

    /// May it go on?
    fn may(&self, id: Id) -> bool {
        self.left.get(&id).is_none_or(|left| *left > 0)
    }

    /// It has done something. True where that was its last: a round is needed.
    fn spend(&mut self, id: Id, cost: u64) -> bool {
        let Some(left) = self.left.get_mut(&id) else { return false };
        let before = *left;
        *left = left.saturating_sub_unsigned(cost);
        before > 0 && *left <= 0
    }

    /// Everybody gets a quantum. Who may go on now and could not before.
    fn round(&mut self) -> Vec<Id> {
        let mut free = vec![];
        for (id, left) in &mut self.left {
            let before = *left;
            *left = left.saturating_add(self.quantum).min(self.quantum);
            if before <= 0 && *left > 0 {
                free.push(*id);
            }
        }
        free
    }

    /// Does somebody have to wait for another round?
    fn are_wanting(&self) -> bool {
        self.left.values().any(|left| *left <= 0)
    }
}

/// The balances of all apps. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Somebody has nothing left.
    wanted: Notify,
}

#[derive(Debug)]
struct State {
    balances: Balances,
    waiting: BTreeMap<Id, Arc<Notify>>,
}

impl Turns {
    /// Each app may spend so much in a round. To be called in a Tokio runtime, whose tasks they are among.
    pub(crate) fn new(quantum: u64) -> Self {
        let state = State { balances: Balances::new(quantum), waiting: BTreeMap::new() };
        let inner = Arc::new(Inner { state: Mutex::new(state), wanted: Notify::new() });
        tokio::spawn(rounds(Arc::clone(&inner)));
        Self(inner)
    }

    /// One more app.
    pub(crate) fn share(&self) -> Share {
        let free = Arc::new(Notify::new());
        let mut state = self.0.lock();
        let id = state.balances.add();
        state.waiting.insert(id, Arc::clone(&free));
        drop(state);
        Share(Arc::new(Place { id, free, turns: Arc::clone(&self.0) }))
    }
}

impl Inner {
    /// Nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where somebody needs another one.
    fn round(&self) -> bool {
        let mut state = self.lock();
        for id in state.balances.round() {
            if let Some(free) = state.waiting.get(&id) {
                free.notify_one();
            }
        }
        state.balances.are_wanting()
    }
}

/// One round whenever somebody has nothing left, each after the loop has looked at its sockets and gone through
/// what was due; never ends.
async fn rounds(turns: Arc<Inner>) {
    loop {
        turns.wanted.notified().await;
        loop {
            // Tokio goes on with who yields when it has polled the sockets.
            yield_now().await;
            if !turns.round() {
                break;
            }
        }
    }
}

/// One app's part in them. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<Place>);

#[derive(Debug)]
struct Place {
    id: Id,
    free: Arc<Notify>,
    turns: Arc<Inner>,
}

impl Share {
    /// Of nobody's turns: for what is alone in its runtime.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        Turns::new(MESSAGES).share()
    }

    /// Waits until it is this app's turn. Those of one app go first come, first served. Dropping the future
    /// loses nothing.
    pub(crate) async fn turn(&self) {
        while !self.may() {
            self.0.free.notified().await;
        }
        // The next in this app's line, who looks for himself.
        self.0.free.notify_one();
    }

    /// Has it something left?
    pub(crate) fn may(&self) -> bool {
        self.0.turns.lock().balances.may(self.0.id)
    }

    /// It has done something that cost so much.
    pub(crate) fn spend(&self, cost: usize) {
        let mut state = self.0.turns.lock();
        if state.balances.spend(self.0.id, cost as u64) {
            drop(state);
            self.0.turns.wanted.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.balances.remove(self.id);
        state.waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
