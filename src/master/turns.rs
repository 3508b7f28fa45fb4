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
//! `listeners` spend. [`Balance`] decides, and is pure.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    thread,
};

use tokio::{sync::Notify, task::yield_now};

/// Of frames, what an app may spend in a round.
pub(crate) const MESSAGES: u64 = 64 << 10;

/// Of connections: accepting one is one, and so is each answer of a worker. One that is handed over costs four.
pub(crate) const CONNECTIONS: u64 = 128;

/// What an app has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Balance(i64);

impl Balance {
    /// May it go on?
    fn may(self) -> bool {
        self.0 > 0
    }

    /// It has done something.
    fn spent(self, cost: usize) -> Self {
        Self(self.0.saturating_sub_unsigned(cost as u64))
    }

    /// What is not spent is not saved up; a debt is paid off.
    fn next_round(self, quantum: u64) -> Self {
        let quantum = i64::try_from(quantum).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(quantum).min(quantum))
    }
}

/// The balances of all apps. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What each gets in a round, and the most that it may have.
    quantum: u64,
    places: Mutex<Vec<Weak<Place>>>,
    /// Somebody has nothing left.
    wanted: Notify,
}

/// One app's part in them. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<Place>);

#[derive(Debug)]
struct Place {
    left: AtomicI64,
    /// Who waits is let in one after the other.
    free: Notify,
    turns: Arc<Inner>,
}

impl Turns {
    /// Each app may spend so much in a round. To be called in a Tokio runtime, among whose tasks they are.
    pub(crate) fn new(quantum: u64) -> Self {
        let inner = Arc::new(Inner { quantum, places: Mutex::default(), wanted: Notify::new() });
        tokio::spawn(rounds(Arc::clone(&inner)));
        Self(inner)
    }

    /// One more app, with a whole quantum.
    pub(crate) fn share(&self) -> Share {
        let Balance(left) = Balance(0).next_round(self.0.quantum);
        let place = Place { left: AtomicI64::new(left), free: Notify::new(), turns: Arc::clone(&self.0) };
        let place = Arc::new(place);
        self.0.places().push(Arc::downgrade(&place));
        Share(place)
    }
}

impl Inner {
    /// Nothing panics under the lock.
    fn places(&self) -> MutexGuard<'_, Vec<Weak<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody gets a quantum. True where somebody needs another one.
    fn round(&self) -> bool {
        let mut again = false;
        self.places().retain(|place| {
            let Some(place) = place.upgrade() else { return false };
            let before = place.balance();
            let after = before.next_round(self.quantum);
            place.left.store(after.0, Relaxed);
            if !before.may() && after.may() {
                place.free.notify_one();
            }
            again |= !after.may();
            true
        });
        again
    }
}

/// One round whenever somebody has nothing left, each after the loop has looked at its sockets and gone
/// through what was due; never ends.
async fn rounds(turns: Arc<Inner>) {
    loop {
        turns.wanted.notified().await;
        loop {
            // Tokio goes on with who yields when it has polled the sockets.
            yield_now().await;
            // A worker may have something to do as well, on this CPU. Who floods can wait until it has done it.
            thread::yield_now();
            if !turns.round() {
                break;
            }
        }
    }
}

impl Place {
    fn balance(&self) -> Balance {
        Balance(self.left.load(Relaxed))
    }
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
        if self.may() {
            return;
        }
        while !self.may() {
            self.0.free.notified().await;
        }
        // The next in this app's line, who looks for himself.
        self.0.free.notify_one();
    }

    /// Has it something left?
    pub(crate) fn may(&self) -> bool {
        self.0.balance().may()
    }

    /// It has done something that cost so much.
    pub(crate) fn spend(&self, cost: usize) {
        let before = self.0.balance();
        let after = before.spent(cost);
        // All run on the master's one thread.
        self.0.left.store(after.0, Relaxed);
        if before.may() && !after.may() {
            self.0.turns.wanted.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
