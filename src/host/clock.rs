//! The clock that interrupts guests which compute for long.
//!
//! A thread moves the engine's epoch on every tick while guest code runs, and sleeps otherwise. A
//! guest that is interrupted yields, so that the process's loop turns; one that has computed longer
//! than its CPU limit without an await is trapped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use tokio::sync::Notify;
use wasmtime::EngineWeak;

use crate::sys::clock::thread_cpu;

/// Ticks without a guest after which the thread goes to sleep.
const IDLE_TICKS: u32 = 10;

/// How long a guest may compute before others are preferred to it.
const LONG: Duration = Duration::from_millis(50);

/// Says when guests run. Cheap to clone; all clones are one clock.
#[derive(Clone)]
pub(super) struct Clock(Arc<Inner>);

struct Inner {
    tick: Duration,
    thread: thread::Thread,
    asleep: Arc<AtomicBool>,
    entries: Arc<AtomicU64>,
    running: Arc<AtomicBool>,
    computing: Computing,
}

impl Clock {
    pub(super) fn start(engine: &wasmtime::Engine, tick: Duration) -> Self {
        let asleep = Arc::new(AtomicBool::new(true));
        let entries = Arc::new(AtomicU64::new(0));
        let running = Arc::new(AtomicBool::new(false));
        let state = (asleep.clone(), entries.clone(), running.clone());
        let engine = engine.weak();
        let thread = thread::Builder::new()
            .name("epochs".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || turn(&engine, tick, &state))
            .expect("a process that can't start one thread can't run at all");
        let computing = Computing::new(ticks(LONG, tick));
        Self(Arc::new(Inner { tick, thread: thread.thread().clone(), asleep, entries, running, computing }))
    }

    /// How often guest code may have run so far. While this stays the same, no guest has changed.
    pub(super) fn entries(&self) -> u64 {
        self.0.entries.load(Relaxed)
    }

    /// Counts for one store.
    pub(super) fn spin(&self) -> Spin {
        Spin::new(self.0.computing.clone(), self.0.tick)
    }

    /// Says whether any store of this clock computes for long.
    pub(super) fn computing(&self) -> Computing {
        self.0.computing.clone()
    }

    /// Guest code may run from here on, until the guard is dropped.
    pub(super) fn enter(&self) -> Running<'_> {
        self.0.entries.fetch_add(1, Relaxed);
        self.0.running.store(true, SeqCst);
        if self.0.asleep.load(SeqCst) {
            self.0.thread.unpark();
        }
        Running(&self.0)
    }
}

fn ticks(limit: Duration, tick: Duration) -> u32 {
    let ticks = limit.as_nanos().div_ceil(tick.as_nanos().max(1));
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

/// Guest code may run while this lives.
pub(super) struct Running<'a>(&'a Inner);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Relaxed);
    }
}

fn turn(engine: &EngineWeak, tick: Duration, state: &(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicBool>)) {
    let (asleep, entries, running) = state;
    let mut seen = entries.load(Relaxed);
    let mut idle = 0;
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        let now = entries.load(Relaxed);
        idle = if running.load(SeqCst) || now != seen { 0 } else { idle + 1 };
        seen = now;
        if idle < IDLE_TICKS {
            thread::sleep(tick);
            continue;
        }
        asleep.store(true, SeqCst);
        // Somebody may have entered between the look and the note that this thread sleeps; an
        // unpark before the park makes the park return at once.
        if !running.load(SeqCst) && entries.load(Relaxed) == seen {
            thread::park();
        }
        asleep.store(false, SeqCst);
        idle = 0;
    }
}

/// Counts for how long a guest computes without an await: in ticks, which others feel; and in CPU time,
/// which is its own, since on a busy machine it may get little of each tick. Shared between the store's
/// epoch callback, which counts, and whoever drives the store.
#[derive(Clone)]
pub(super) struct Spin(Arc<Count>);

struct Count {
    ticks: AtomicU32,
    interrupted: AtomicBool,
    /// The CPU time since the last await, up to the last tick; in nanoseconds, as the next.
    spent: AtomicU64,
    /// The thread's CPU time when the guest went on after a tick.
    resumed: AtomicU64,
    /// What is counted for the first tick, of which the beginning is not known.
    first: u64,
    computing: Computing,
}

impl Count {
    fn reset(&self) {
        // A look first: it is done for every poll, and mostly there is nothing to do.
        if self.ticks.load(Relaxed) != 0 && self.ticks.swap(0, Relaxed) >= self.computing.0.long {
            self.computing.one_less();
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.reset();
    }
}

impl Spin {
    fn new(computing: Computing, tick: Duration) -> Self {
        let (spent, resumed) = Default::default();
        let (ticks, interrupted) = (AtomicU32::new(0), AtomicBool::new(false));
        Self(Arc::new(Count { ticks, interrupted, spent, resumed, first: nanos(tick), computing }))
    }

    /// The guest has given way.
    pub(super) fn reset(&self) {
        self.0.reset();
    }

    /// The store is polled. Where it was not a tick that ended the poll before, the guest awaited
    /// something: a WASI 0.2 guest that blocks in a call of the host shows itself in no other way.
    pub(super) fn polled(&self) {
        if self.0.interrupted.swap(false, Relaxed) {
            self.0.resumed.store(nanos(thread_cpu()), Relaxed);
        } else {
            self.reset();
        }
    }

    /// The store was polled. Where it was not a tick that ended the poll, the guest awaits something.
    pub(super) fn gave_way(&self) {
        if !self.0.interrupted.load(Relaxed) {
            self.reset();
        }
    }

    /// One more tick. Gives the CPU time that the guest has had since it last awaited.
    pub(super) fn tick(&self) -> Duration {
        let count = &*self.0;
        count.interrupted.store(true, Relaxed);
        let ticks = count.ticks.fetch_add(1, Relaxed) + 1;
        if ticks == count.computing.0.long {
            count.computing.one_more();
        }
        let spent = if ticks == 1 {
            count.first
        } else {
            let slice = nanos(thread_cpu()).saturating_sub(count.resumed.load(Relaxed));
            count.spent.load(Relaxed).saturating_add(slice)
        };
        count.spent.store(spent, Relaxed);
        Duration::from_nanos(spent)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Says whether guests compute for so long, 50 ms without an await, that other processes are better
/// asked: what else comes here waits meanwhile. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Computing(Arc<Long>);

struct Long {
    /// How many ticks are long.
    long: u32,
    /// Stores that have computed for so many.
    stores: AtomicUsize,
    over: Notify,
}

impl Computing {
    fn new(long: u32) -> Self {
        Self(Arc::new(Long { long, stores: AtomicUsize::new(0), over: Notify::new() }))
    }

    fn one_more(&self) {
        self.0.stores.fetch_add(1, Relaxed);
    }

    fn one_less(&self) {
        if self.0.stores.fetch_sub(1, Relaxed) == 1 {
            self.0.over.notify_waiters();
        }
    }

    /// Does one of them?
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.0.stores.load(Relaxed) > 0
    }

    /// Returns when none does any more.
    pub async fn over(&self) {
        loop {
            let over = self.0.over.notified();
            if !self.is_long() {
                return;
            }
            over.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    #[test]
    fn cpu_time_adds_up_until_the_guest_awaits() {
        let spin = Spin::new(Computing::new(5), TICK);
        let compute = || {
            let begun = thread_cpu();
            while thread_cpu() - begun < TICK {}
        };
        spin.polled();
        assert_eq!(spin.tick(), TICK);
        for ticks in 2..5 {
            // What the thread does while the guest waits for its turn is not the guest's.
            compute();
            // The tick ended that poll.
            spin.polled();
            compute();
            let spent = spin.tick();
            assert!(spent >= ticks * TICK && spent < (ticks + 2) * TICK, "{spent:?} after {ticks} ticks");
            spin.gave_way();
        }
        // Time in which the machine does something else does not count.
        spin.polled();
        let before = spin.tick();
        spin.polled();
        thread::sleep(3 * TICK);
        assert!(spin.tick() - before < TICK);
        spin.polled();
        // Something else did.
        spin.gave_way();
        spin.polled();
        assert_eq!(spin.tick(), TICK);
    }

    #[tokio::test]
    async fn it_is_over_when_the_last_one_that_computes_gives_way() {
        let computing = Computing::new(2);
        let (one, other) = (Spin::new(computing.clone(), TICK), Spin::new(computing.clone(), TICK));
        computing.over().await;
        let mut over = std::pin::pin!(computing.over());
        one.tick();
        assert!(!computing.is_long(), "one tick is not long");
        for _ in 0..3 {
            one.tick();
            other.tick();
        }
        assert!(computing.is_long());
        assert!(futures::poll!(&mut over).is_pending());
        one.reset();
        one.reset();
        assert!(computing.is_long(), "the other one computes");
        assert!(futures::poll!(&mut over).is_pending());
        // Its instance has gone.
        drop(other);
        assert!(!computing.is_long());
        assert!(futures::poll!(&mut over).is_ready());
    }
}
