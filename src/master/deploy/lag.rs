//! How long the master's loop was held up at most, while something goes on. A deploy must not be felt
//! by the apps that serve.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

/// How often the loop is asked to turn; less than that is not seen.
const BEAT: Duration = Duration::from_millis(1);

/// Measures from its making on.
pub(super) struct Lag {
    longest: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Lag {
    pub(super) fn measure() -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&longest);
        let task = tokio::spawn(async move {
            let mut beats = interval(BEAT);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = Instant::now();
            loop {
                beats.tick().await;
                let late = last.elapsed().saturating_sub(BEAT);
                seen.fetch_max(u64::try_from(late.as_millis()).unwrap_or(u64::MAX), Relaxed);
                last = Instant::now();
            }
        });
        Self { longest, task: task.abort_handle() }
    }

    /// In milliseconds, so far.
    pub(super) fn longest(&self) -> u64 {
        self.longest.load(Relaxed)
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.task.abort();
    }
}
