//! When schedules run. Pure: time comes in, runs that are due come out.
//!
//! Intervals go by the monotonic clock at a fixed rate; ticks that could not be kept are left out,
//! not made up for. Cron goes by the wall clock; a clock that jumps back does not make a tick run
//! twice.

use std::{
    collections::HashMap,
    str::FromStr as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use croner::Cron;
use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::manifest::{Overlap, Schedule, Trigger};

/// Cron is looked at again at least this often, since the wall clock may jump.
const LOOK: Duration = Duration::from_secs(30);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) monotonic: Instant,
    pub(super) wall: Timestamp,
}

impl Now {
    pub(super) fn read() -> Self {
        Self { monotonic: Instant::now(), wall: Timestamp::now() }
    }
}

/// Where a schedule stands in the manifest's list.
pub(super) type Index = usize;

/// All schedules of an app.
pub(super) struct Scheduler {
    timers: Vec<Timer>,
    running: HashMap<Index, u32>,
}

struct Timer {
    index: Index,
    overlap: Overlap,
    next: Next,
}

enum Next {
    Interval { every: Duration, at: Instant },
    Cron { cron: Box<Cron>, zone: TimeZone, at: Option<Timestamp> },
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Run it.
    Run(Index),
    /// Its time has come while it still runs, and it does not overlap.
    Skipped(Index),
}

impl Scheduler {
    /// Timers begin now. `immediate` says whether schedules that want it run at once.
    pub(super) fn start(
        schedules: &[Schedule],
        immediate: bool,
        now: Now,
    ) -> anyhow::Result<(Self, Vec<Due>)> {
        let mut scheduler = Self { timers: Vec::new(), running: HashMap::new() };
        let mut due = Vec::new();
        for (index, schedule) in schedules.iter().enumerate().filter(|(_, schedule)| schedule.enabled) {
            let next = Next::new(&schedule.trigger, now)
                .with_context(|| format!("the schedule {:?} has no time to run", schedule.name))?;
            scheduler.timers.push(Timer { index, overlap: schedule.overlap, next });
            if immediate && schedule.immediate {
                due.push(scheduler.begin(index, schedule.overlap));
            }
        }
        Ok((scheduler, due))
    }

    /// When to look again; none where there is nothing to wait for.
    pub(super) fn wake_at(&self, now: Now) -> Option<Instant> {
        self.timers.iter().filter_map(|timer| timer.next.wake_at(now)).min()
    }

    /// What has come due.
    pub(super) fn due(&mut self, now: Now) -> Vec<Due> {
        let mut ripe = Vec::new();
        for timer in &mut self.timers {
            if timer.next.take(now) {
                ripe.push((timer.index, timer.overlap));
            }
        }
        ripe.into_iter().map(|(index, overlap)| self.begin(index, overlap)).collect()
    }

    /// A run has ended.
    pub(super) fn ended(&mut self, index: Index) {
        if let Some(running) = self.running.get_mut(&index) {
            *running = running.saturating_sub(1);
        }
    }

    fn begin(&mut self, index: Index, overlap: Overlap) -> Due {
        let running = self.running.entry(index).or_default();
        if *running > 0 && overlap == Overlap::Skip {
            return Due::Skipped(index);
        }
        *running += 1;
        Due::Run(index)
    }
}

impl Next {
    fn new(trigger: &Trigger, now: Now) -> anyhow::Result<Self> {
        Ok(match trigger {
            Trigger::Interval(every) => Self::Interval { every: *every, at: now.monotonic + *every },
            Trigger::Cron { pattern, timezone } => {
                let cron = Box::new(Cron::from_str(pattern)?);
                let zone = TimeZone::get(timezone)?;
                let at = after(&cron, &zone, now.wall);
                Self::Cron { cron, zone, at }
            }
        })
    }

    fn wake_at(&self, now: Now) -> Option<Instant> {
        match self {
            Self::Interval { at, .. } => Some(*at),
            Self::Cron { at: None, .. } => None,
            Self::Cron { at: Some(at), .. } => {
                let wait = Duration::try_from(at.duration_since(now.wall)).unwrap_or_default();
                Some(now.monotonic + wait.min(LOOK))
            }
        }
    }

    /// Is it time? Then the next time is set.
    fn take(&mut self, now: Now) -> bool {
        match self {
            Self::Interval { every, at } => {
                if now.monotonic < *at {
                    return false;
                }
                while *at <= now.monotonic {
                    let missed = (now.monotonic - *at).as_nanos() / every.as_nanos().max(1);
                    *at += *every * u32::try_from(missed + 1).unwrap_or(u32::MAX);
                }
                true
            }
            Self::Cron { cron, zone, at } => {
                let Some(ripe) = at.filter(|at| *at <= now.wall) else { return false };
                // Not before `ripe`, even if the clock goes back after this.
                *at = after(cron, zone, ripe.max(now.wall));
                true
            }
        }
    }
}

fn after(cron: &Cron, zone: &TimeZone, wall: Timestamp) -> Option<Timestamp> {
    let now: Zoned = wall.to_zoned(zone.clone());
    cron.find_next_occurrence(&now, false).ok().map(|at| at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::RunOn;

    fn schedule(trigger: Trigger, overlap: Overlap, immediate: bool) -> Schedule {
        Schedule {
            name: "s".to_owned(),
            trigger,
            on: RunOn::One,
            immediate,
            enabled: true,
            overlap,
            payload: None,
        }
    }

    fn every(ms: u64) -> Trigger {
        Trigger::Interval(Duration::from_millis(ms))
    }

    fn cron(pattern: &str, timezone: &str) -> Trigger {
        Trigger::Cron { pattern: pattern.to_owned(), timezone: timezone.to_owned() }
    }

    fn at(start: Now, ms: u64) -> Now {
        let passed = Duration::from_millis(ms);
        Now { monotonic: start.monotonic + passed, wall: start.wall + passed }
    }

    fn noon() -> Now {
        Now { monotonic: Instant::now(), wall: "2026-03-01T12:00:00Z".parse().expect("a time") }
    }

    #[test]
    fn an_interval_keeps_its_rate_and_makes_nothing_up() {
        let start = noon();
        let schedules = [schedule(every(100), Overlap::Allow, false)];
        let (mut scheduler, due) = Scheduler::start(&schedules, true, start).expect("valid");
        assert!(due.is_empty());
        let seen: Vec<_> = [99, 100, 101, 199, 205, 799, 800, 899]
            .into_iter()
            .filter(|ms| !scheduler.due(at(start, *ms)).is_empty())
            .collect();
        assert_eq!(seen, [100, 205, 799, 800]);
        let wake = scheduler.wake_at(at(start, 850)).expect("there is a timer");
        assert_eq!(wake - start.monotonic, Duration::from_millis(900));
    }

    #[test]
    fn overlap_is_skipped_unless_allowed() {
        let start = noon();
        let schedules =
            [schedule(every(100), Overlap::Skip, false), schedule(every(100), Overlap::Allow, false)];
        let (mut scheduler, _) = Scheduler::start(&schedules, false, start).expect("valid");
        assert_eq!(scheduler.due(at(start, 100)), [Due::Run(0), Due::Run(1)]);
        assert_eq!(scheduler.due(at(start, 200)), [Due::Skipped(0), Due::Run(1)]);
        scheduler.ended(0);
        assert_eq!(scheduler.due(at(start, 300)), [Due::Run(0), Due::Run(1)]);
    }

    #[test]
    fn immediate_runs_once_and_only_when_told() {
        let start = noon();
        let schedules = [schedule(every(100), Overlap::Skip, true)];
        let (mut scheduler, due) = Scheduler::start(&schedules, true, start).expect("valid");
        assert_eq!(due, [Due::Run(0)]);
        assert_eq!(scheduler.due(at(start, 100)), [Due::Skipped(0)]);
        let (_, due) = Scheduler::start(&schedules, false, start).expect("valid");
        assert!(due.is_empty());
    }

    #[test]
    fn a_disabled_schedule_has_no_timer() {
        let start = noon();
        let mut disabled = schedule(every(100), Overlap::Skip, true);
        disabled.enabled = false;
        let (scheduler, due) = Scheduler::start(&[disabled], true, start).expect("valid");
        assert!(due.is_empty());
        assert_eq!(scheduler.wake_at(start), None);
    }

    #[test]
    fn cron_goes_by_its_zone() {
        let start = noon();
        let schedules = [schedule(cron("0 14 * * *", "Europe/Berlin"), Overlap::Skip, false)];
        let (mut scheduler, _) = Scheduler::start(&schedules, false, start).expect("valid");
        assert!(scheduler.due(at(start, 3_599_999)).is_empty());
        assert_eq!(scheduler.due(at(start, 3_600_000)), [Due::Run(0)]);
    }

    #[test]
    fn a_cron_tick_runs_once_across_clock_jumps() {
        let start = noon();
        let schedules = [schedule(cron("*/5 * * * * *", "UTC"), Overlap::Allow, false)];
        let (mut scheduler, _) = Scheduler::start(&schedules, false, start).expect("valid");
        assert_eq!(scheduler.due(at(start, 5_000)), [Due::Run(0)]);
        // Back by 3 seconds: the tick at :05 comes by again, and is left out.
        let back = |ms: u64| Now { monotonic: at(start, ms).monotonic, wall: at(start, ms - 3_000).wall };
        assert!(scheduler.due(back(8_000)).is_empty());
        assert!(scheduler.due(back(12_999)).is_empty());
        assert_eq!(scheduler.due(back(13_000)), [Due::Run(0)]);
        // Forward by an hour: once, not 720 times.
        let forward = at(start, 3_600_000);
        assert_eq!(scheduler.due(forward), [Due::Run(0)]);
        assert!(scheduler.due(forward).is_empty());
    }

    #[test]
    fn cron_is_looked_at_again_soon() {
        let start = noon();
        let schedules = [schedule(cron("0 0 1 1 *", "UTC"), Overlap::Skip, false)];
        let (scheduler, _) = Scheduler::start(&schedules, false, start).expect("valid");
        assert_eq!(scheduler.wake_at(start), Some(start.monotonic + LOOK));
    }
}
