//! How long the master's loop was held up at most, while something goes on. A deploy must not be felt
//! by the apps that serve. What the loop itself did is told apart from waiting for a CPU, which on a busy
//! machine is the longer of the two, and not in its hands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::sys::usage;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

/// How often the loop is asked to turn; less than that is not seen.
const BEAT: Duration = Duration::from_millis(1);

/// In milliseconds.
#[derive(Default)]
struct Longest {
    all: AtomicU64,
    own: AtomicU64,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Measures from its making on.
pub(super) struct Lag {
    longest: Arc<Longest>,
    task: AbortHandle,
}

impl Lag {
    pub(super) fn measure() -> Self {
        let longest = Arc::new(Longest::default());
        let seen = Arc::clone(&longest);
        let task = tokio::spawn(async move {
            let mut beats = interval(BEAT);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut last, mut waited) = (Instant::now(), usage::waited_for_cpu());
            loop {
                beats.tick().await;
                let (now, waits) = (Instant::now(), usage::waited_for_cpu());
                let late = now.saturating_duration_since(last).saturating_sub(BEAT);
                let own = late.saturating_sub(waits.saturating_sub(waited));
                seen.all.fetch_max(millis(late), Relaxed);
                seen.own.fetch_max(millis(own), Relaxed);
                (last, waited) = (now, waits);
            }
        });
        Self { longest, task: task.abort_handle() }
    }

    /// In milliseconds, so far.
    pub(super) fn longest(&self) -> u64 {
        self.longest.all.load(Relaxed)
    }

    /// Of these, without what it waited for a CPU.
    pub(super) fn longest_own(&self) -> u64 {
        self.longest.own.load(Relaxed)
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.task.abort();
    }
}
