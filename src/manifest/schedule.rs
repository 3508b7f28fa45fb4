//! A checked `[[schedule]]`: what runs, where, and when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One `[[schedule]]`. Its timer lives in the agent process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// What the guest's `task.run` is called with: 1..=64 characters, unique in the app.
    pub name: String,
    /// When.
    pub trigger: Trigger,
    /// Where.
    pub on: RunOn,
    /// Also once when the cluster is ready. Not again when the agent restarts.
    pub immediate: bool,
    /// A disabled one has no timer, but can still be run by hand.
    pub enabled: bool,
    /// What happens when its time comes while it still runs.
    pub overlap: Overlap,
    /// Given to the guest as it is.
    pub payload: Option<String>,
}

/// When a schedule runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Trigger {
    /// At a fixed rate, by the monotonic clock. At least [`MIN_INTERVAL`].
    Interval(Duration),
    /// By the calendar. A tick runs at most once across clock jumps.
    Cron {
        /// Five fields, or six with seconds first.
        pattern: String,
        /// An IANA name; UTC by default.
        timezone: String,
    },
}

/// The shortest interval.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Where a schedule's task runs (`type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOn {
    /// On one worker, which the master chooses.
    One,
    /// On every worker.
    All,
    /// On the agent.
    Agent,
}

/// What happens when a schedule's time comes while it still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// This run is left out.
    #[default]
    Skip,
    /// Both run.
    Allow,
}
