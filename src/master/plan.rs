//! How a release is to take over: at once, or by a canary first. Who brings it says so; `app` does it.

use std::time::Duration;

/// The longest canary.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

/// The shortest: it is looked at every second.
const MIN_TIME: Duration = Duration::from_secs(1);

/// The least and the most percent.
const PERCENT: (u8, u8) = (1, 99);

/// What is done between the moment when a generation is ready and healthy, and the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Nothing, without.
    pub(crate) canary: Option<Canary>,
}

/// For a while a share of the new connections goes to the new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Canary {
    percent: u8,
    time: Duration,
}

impl Canary {
    /// # Errors
    /// One of the two is out of range.
    pub(crate) fn new(percent: u8, time: Duration) -> Result<Self, String> {
        let (least, most) = PERCENT;
        if !(least..=most).contains(&percent) {
            return Err(format!("a canary of {percent} % makes no sense: take {least} to {most}"));
        }
        if !(MIN_TIME..=MAX_TIME).contains(&time) {
            let [time, least, most] = [time, MIN_TIME, MAX_TIME].map(humantime::format_duration);
            return Err(format!("a canary can't last {time}: take {least} to {most}"));
        }
        Ok(Self { percent, time })
    }

    /// Of new connections.
    pub(crate) fn percent(self) -> u8 {
        self.percent
    }

    /// After that it is promoted, if it is not worse.
    pub(crate) fn time(self) -> Duration {
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_as_a_table() {
        let minute = Duration::from_secs(60);
        for (percent, time, expected) in [
            (1, minute, None),
            (99, MAX_TIME, None),
            (10, MIN_TIME, None),
            (0, minute, Some("a canary of 0 % makes no sense: take 1 to 99")),
            (100, minute, Some("a canary of 100 % makes no sense: take 1 to 99")),
            (10, Duration::ZERO, Some("a canary can't last 0s: take 1s to 1day")),
            (10, MAX_TIME + MIN_TIME, Some("a canary can't last 1day 1s: take 1s to 1day")),
        ] {
            let error = Canary::new(percent, time).err();
            assert_eq!(error.as_deref(), expected, "{percent} {time:?}");
        }
    }
}
