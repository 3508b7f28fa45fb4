//! How long the master's loop was held up at most, while something goes on. A deploy must not be felt
//! by the apps that serve. What the loop itself did is told apart from waiting for a CPU, which on a busy
//! machine is the longer of the two, and from what a kernel's interrupts and a hypervisor take: none of
//! that is in its hands.
//!
//! `work` has one for each job. It wakes the loop a thousand times a second, so it must not be left on: it is
//! stopped when a canary begins, which may take a day, and ends with the job or after two minutes at the latest.

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

use crate::sys::usage::{self, Thread};

/// How often the loop is asked to turn; less than that is not seen.
const BEAT: Duration = Duration::from_millis(1);

/// The longest that is measured.
const MOST: Duration = Duration::from_secs(120);

/// In milliseconds.
#[derive(Default)]
struct Longest {
    all: AtomicU64,
    own: AtomicU64,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What of a delay was the loop's own doing. Where it has slept, all is that it has not waited for a CPU: it
/// may have slept for a disk. Where it has not, it was running, and did what took CPU time.
fn own(late: Duration, before: Thread, after: Thread) -> Duration {
    if after.sleeps == before.sleeps {
        late.min(after.cpu.saturating_sub(before.cpu))
    } else {
        late.saturating_sub(after.waited.saturating_sub(before.waited))
    }
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
            let (mut last, mut before) = (Instant::now(), usage::thread());
            let end = last + MOST;
            while last < end {
                beats.tick().await;
                let (now, after) = (Instant::now(), usage::thread());
                let late = now.saturating_duration_since(last).saturating_sub(BEAT);
                seen.all.fetch_max(millis(late), Relaxed);
                seen.own.fetch_max(millis(own(late, before, after)), Relaxed);
                (last, before) = (now, after);
            }
        });
        Self { longest, task: task.abort_handle() }
    }

    /// Measures no more; what was seen stays.
    pub(super) fn stop(&self) {
        self.task.abort();
    }

    /// In milliseconds, so far.
    pub(super) fn longest(&self) -> u64 {
        self.longest.all.load(Relaxed)
    }

    /// Of these, what was its own doing.
    pub(super) fn longest_own(&self) -> u64 {
        self.longest.own.load(Relaxed)
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::time::{sleep, timeout};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    async fn until(what: impl Fn() -> bool) {
        let turn = async {
            while !what() {
                sleep(BEAT).await;
            }
        };
        timeout(DEADLINE, turn).await.expect("in time");
    }

    #[test]
    fn own_as_a_table() {
        let ms = Duration::from_millis;
        let at = |cpu, waited, sleeps| Thread { cpu: ms(cpu), waited: ms(waited), sleeps };
        let before = at(100, 50, 7);
        for (late, after, expected, why) in [
            (9, at(109, 50, 7), 9, "it worked all the time"),
            (9, at(101, 50, 7), 1, "it ran, and was interrupted"),
            (9, at(101, 58, 7), 1, "it waited for a CPU"),
            (9, at(101, 50, 8), 9, "it slept, maybe for a disk"),
            (9, at(101, 58, 8), 1, "it slept for events and waited for a CPU"),
            (0, at(101, 50, 8), 0, "it was in time"),
            (9, at(100, 99, 9), 0, "it waited for longer than it was late"),
        ] {
            assert_eq!(own(ms(late), before, after), ms(expected), "{why}");
        }
    }

    #[tokio::test]
    async fn what_comes_after_a_stop_does_not_count() {
        let lag = Lag::measure();
        // It has begun.
        sleep(2 * BEAT).await;
        thread::sleep(Duration::from_millis(30));
        until(|| lag.longest() >= 20).await;
        lag.stop();
        until(|| lag.task.is_finished()).await;
        let seen = lag.longest();
        thread::sleep(Duration::from_millis(seen + 30));
        sleep(5 * BEAT).await;
        assert_eq!(lag.longest(), seen);
    }

    #[tokio::test]
    async fn it_ends_with_its_owner() {
        let lag = Lag::measure();
        let task = lag.task.clone();
        sleep(2 * BEAT).await;
        assert!(!task.is_finished());
        drop(lag);
        until(|| task.is_finished()).await;
    }
}
