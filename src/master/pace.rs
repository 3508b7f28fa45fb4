//! Turns at the CPU: which of the processes that run guests goes first when more than one of them want it.
//!
//! Who has slept most of the time goes first, and at once: to the kernel that is who asks for the shorter turn.
//! So a tenant with a request now and then does not wait for one that computes, or floods. What each gets of the
//! CPU stays the same. Busy is what a process would be with a CPU of its own: time in which it waited for one is
//! left out, so that nobody is made busy by others. A flood that an app's processes share is as one that each of
//! them makes alone: what counts is how much of a CPU this one uses, or how much of all CPUs they do together.
//!
//! Threads beside a process's main one, its clocks, interrupt nobody.
//!
//! `app` names the processes that are ready. A thread looks at them all, ten times a second, and sleeps while
//! there are none. [`Busy`] decides, and is pure.

use std::{
    collections::HashMap,
    io,
    iter::zip,
    sync::{
        LazyLock,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use crate::sys::{
    priority::{BEGINNING, LONGEST, SHORTEST, Scheduled},
    usage::Times,
};

/// How often the processes are looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// What is left, at the next look, of how busy a process has been: half of it after two seconds. A flood that
/// pauses is still one.
const KEPT: f64 = 0.966;

/// Who uses no more of a CPU than this has the shortest turns, as the master has: with the same turns neither interrupts
/// the other one in the middle of a request.
const LITTLE: f64 = 0.15;

/// A turn is set anew when it would change by more than this factor.
const CHANGE: f64 = 1.25;

/// Looks at this process of this app from now on, until it is gone.
///
/// Its niceness must not change any more.
pub(super) fn keep(app: &str, os_pid: u32) {
    // One that has just ended needs nothing; without the thread all have the same turns.
    if let Ok(one) = Paced::new(app, os_pid) {
        let _ = THREAD.send(one);
    }
}

/// The thread. What waits is bounded by the processes that there may be.
static THREAD: LazyLock<Sender<Paced>> = LazyLock::new(|| {
    let (sender, more) = mpsc::channel();
    if let Err(error) = thread::Builder::new().name("pace".to_owned()).spawn(move || run(&more)) {
        tracing::warn!(%error, "processes that compute can hold up others: cannot start the thread that paces");
    }
    sender
});

fn run(more: &Receiver<Paced>) {
    let cpus = thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
    let mut all = vec![];
    loop {
        if all.is_empty() {
            let Ok(first) = more.recv() else { return };
            all.push(first);
        }
        all.extend(more.try_iter());
        let mut loads = vec![];
        all.retain_mut(|one| one.load().map(|load| loads.push(load)).is_ok());
        let loads = shared(&zip(all.iter().map(|one| &*one.app), loads).collect::<Vec<_>>(), cpus);
        for (one, load) in zip(&mut all, loads) {
            // It is seen at the next look that it is gone.
            let _ = one.settle(load);
        }
        thread::sleep(PERIOD);
    }
}

/// What counts, of what each uses of a CPU, which is an app's.
fn shared(loads: &[(&str, f64)], cpus: f64) -> Vec<f64> {
    let mut apps: HashMap<&str, f64> = HashMap::new();
    for (app, load) in loads {
        *apps.entry(app).or_default() += load / cpus;
    }
    loads.iter().map(|(app, load)| load.max(apps[app])).map(|load| load.min(1.0)).collect()
}

/// One process.
struct Paced {
    app: String,
    process: Scheduled,
    seen: (Instant, Times),
    busy: Busy,
    turn: Duration,
}

impl Paced {
    fn new(app: &str, os_pid: u32) -> io::Result<Self> {
        let process = Scheduled::open(os_pid)?;
        process.calm_others();
        let seen = (Instant::now(), process.times()?);
        Ok(Self { app: app.to_owned(), process, seen, busy: Busy::default(), turn: BEGINNING })
    }

    /// How much of a CPU it has used since the last look. An error means that it is gone.
    fn load(&mut self) -> io::Result<f64> {
        let (now, times) = (Instant::now(), self.process.times()?);
        let (before, last) = std::mem::replace(&mut self.seen, (now, times));
        let (ran, waited) = (times.ran.saturating_sub(last.ran), times.waited.saturating_sub(last.waited));
        let slept = now.duration_since(before).saturating_sub(ran + waited);
        Ok(load(ran, slept))
    }

    fn settle(&mut self, load: f64) -> io::Result<()> {
        self.busy = self.busy.after(load);
        let turn = self.busy.turn();
        if differs(turn, self.turn) {
            self.process.set_turn(turn)?;
            self.turn = turn;
        }
        Ok(())
    }
}

/// How much of a CPU a process would use that has run and slept so long, 0 to 1.
fn load(ran: Duration, slept: Duration) -> f64 {
    let all = ran + slept;
    if all.is_zero() { 0.0 } else { ran.div_duration_f64(all) }
}

fn differs(one: Duration, other: Duration) -> bool {
    let factor = one.div_duration_f64(other);
    !(1.0 / CHANGE..=CHANGE).contains(&factor)
}

/// How much of a CPU a process would use, 0 to 1; the most of late counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Busy(f64);

impl Busy {
    /// So much since the last look.
    fn after(self, load: f64) -> Self {
        Self(load.max(self.0 * KEPT))
    }

    /// From the shortest to the longest: longer by the same factor for each part more of a CPU.
    fn turn(self) -> Duration {
        let beyond = ((self.0 - LITTLE) / (1.0 - LITTLE)).max(0.0);
        SHORTEST.mul_f64(LONGEST.div_duration_f64(SHORTEST).powf(beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn busy_as_a_table() {
        for (what, before, ran, slept, expected) in [
            ("idle", 0.0, 0, 100, 0.0),
            ("it computes", 0.0, 100, 0, 1.0),
            ("it computes, and gets half of a CPU", 0.0, 50, 0, 1.0),
            ("one request now and then", 0.0, 5, 95, 0.05),
            ("the same, and has waited for the CPU as long as for requests", 0.0, 5, 45, 0.1),
            ("never had a CPU at all", 0.5, 0, 0, 0.5 * KEPT),
            ("it is busier than it was", 0.1, 50, 50, 0.5),
            ("less busy than it was", 1.0, 50, 50, KEPT),
        ] {
            assert_eq!(Busy(before).after(load(ms(ran), ms(slept))), Busy(expected), "{what}");
        }
    }

    #[test]
    fn what_an_apps_processes_use_together_as_a_table() {
        for (what, cpus, loads, expected) in [
            ("one alone", 2.0, &[("a", 0.5)][..], &[0.5][..]),
            (
                "no more than one uses on a large machine",
                8.0,
                &[("a", 0.5), ("a", 0.5), ("a", 0.0)],
                &[0.5, 0.5, 0.125],
            ),
            (
                "four share it",
                2.0,
                &[("a", 0.3), ("a", 0.3), ("b", 0.1), ("a", 0.3), ("a", 0.3)],
                &[0.6, 0.6, 0.1, 0.6, 0.6],
            ),
            ("more than there is, seen one after the other", 1.0, &[("a", 0.9), ("a", 0.9)], &[1.0, 1.0]),
            ("nobody", 2.0, &[], &[]),
        ] {
            let found = shared(loads, cpus);
            assert!(
                zip(&found, expected).all(|(one, other)| (one - other).abs() < 1e-9),
                "{what}: {found:?}"
            );
            assert_eq!(found.len(), expected.len(), "{what}");
        }
    }

    #[test]
    fn turns_as_a_table() {
        let beyond = |part: f64| LITTLE + part * (1.0 - LITTLE);
        for (busy, expected) in [
            (0.0, SHORTEST),
            (LITTLE, SHORTEST),
            (beyond(1.0 / 3.0), ms(1)),
            (beyond(2.0 / 3.0), ms(10)),
            (1.0, LONGEST),
        ] {
            let turn = Busy(busy).turn();
            assert!(turn.abs_diff(expected) < Duration::from_micros(1), "{busy}: {turn:?}");
        }
    }

    #[test]
    fn what_has_computed_is_forgotten_in_seconds() {
        let idle = |busy: Busy, looks| (0..looks).fold(busy, |busy, _| busy.after(0.0));
        let begin = Busy(1.0);
        assert!(idle(begin, 10) > Busy(0.6), "a second");
        let half = idle(begin, 20);
        assert!(half > Busy(0.45) && half < Busy(0.55), "two seconds: {half:?}");
        assert!(!differs(idle(begin, 150).turn(), SHORTEST), "fifteen");
    }
}
