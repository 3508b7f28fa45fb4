//! The clock that interrupts guests which compute for long.
//!
//! A thread moves the engine's epoch on every tick while guest code runs, and sleeps otherwise. A
//! guest that is interrupted yields, so that the process's loop turns; one that has computed longer
//! than its CPU limit without an await is trapped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use wasmtime::EngineWeak;

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
        Self(Arc::new(Inner { tick, thread: thread.thread().clone(), asleep, entries, running }))
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

    /// How many ticks make up `limit`; at least one.
    pub(super) fn ticks(&self, limit: Duration) -> u32 {
        let ticks = limit.as_nanos().div_ceil(self.0.tick.as_nanos().max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
    }
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

/// Counts the ticks that a guest computes without an await. Shared between the store's epoch
/// callback, which counts, and whoever drives the store.
#[derive(Clone, Default)]
pub(super) struct Spin(Arc<Count>);

#[derive(Default)]
struct Count {
    ticks: AtomicU32,
    interrupted: AtomicBool,
}

impl Spin {
    /// The guest has given way.
    pub(super) fn reset(&self) {
        self.0.ticks.store(0, Relaxed);
    }

    /// The store is polled. Where it was not a tick that ended the poll before, the guest awaited
    /// something: a WASI 0.2 guest that blocks in a call of the host shows itself in no other way.
    pub(super) fn polled(&self) {
        if !self.0.interrupted.swap(false, Relaxed) {
            self.reset();
        }
    }

    /// The store was polled. Where it was not a tick that ended the poll, the guest awaits something.
    pub(super) fn gave_way(&self) {
        if !self.0.interrupted.load(Relaxed) {
            self.reset();
        }
    }

    /// How many ticks the guest computes already; 0 where it does not.
    pub(super) fn ticks(&self) -> u32 {
        self.0.ticks.load(Relaxed)
    }

    /// One more tick; the sum so far.
    pub(super) fn tick(&self) -> u32 {
        self.0.interrupted.store(true, Relaxed);
        self.0.ticks.fetch_add(1, Relaxed) + 1
    }
}

/// Says whether a guest computes for so long that others are better asked.
#[derive(Clone)]
pub(super) struct Computing {
    spin: Spin,
    /// Ticks.
    long: u32,
}

impl Computing {
    pub(super) fn new(clock: &Clock, spin: &Spin) -> Self {
        Self { spin: spin.clone(), long: clock.ticks(LONG) }
    }

    pub(super) fn is_long(&self) -> bool {
        self.spin.ticks() >= self.long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_add_up_until_the_guest_awaits() {
        let spin = Spin::default();
        spin.polled();
        assert_eq!((spin.tick(), spin.tick()), (1, 2));
        // The tick ended that poll.
        spin.polled();
        assert_eq!(spin.tick(), 3);
        spin.gave_way();
        assert_eq!(spin.ticks(), 3);
        spin.polled();
        // Something else did.
        spin.gave_way();
        assert_eq!(spin.ticks(), 0);
        spin.polled();
        assert_eq!(spin.tick(), 1);
    }
}
