//! `[[schedule]]`: what runs, where, and when.

use std::{collections::HashSet, time::Duration};

use croner::{Cron, errors::CronError};
use jiff::{Zoned, tz::TimeZone};

use super::{
    super::{
        Limits, MIN_INTERVAL, Overlap, RunOn, Schedule, Trigger,
        document::{At, Section, short},
        error::Mistakes,
        keys::Table,
        quantity::Bounds,
    },
    MAX_NAME,
};

/// `interval`; there is no default. The most, ten years, keeps far from the end of every clock.
const INTERVAL: Bounds<Duration> =
    Bounds { default: MIN_INTERVAL, min: MIN_INTERVAL, max: Duration::from_secs(315_576_000) };

/// The longest cron pattern in bytes.
const MAX_CRON: usize = 256;

/// What time zone a cron pattern has without `timezone`.
const DEFAULT_TIMEZONE: &str = "UTC";

const RUN_ON: &[(&str, RunOn)] = &[("one", RunOn::One), ("all", RunOn::All), ("agent", RunOn::Agent)];

const OVERLAP: &[(&str, Overlap)] = &[("skip", Overlap::Skip), ("allow", Overlap::Allow)];

/// Which tables the manifest has.
#[derive(Clone, Copy)]
pub(super) struct There {
    pub(super) worker: bool,
    pub(super) agent: bool,
}

pub(super) fn schedules(
    top: &Section<'_, '_>,
    there: There,
    limits: &Limits,
    mistakes: &mut Mistakes,
) -> Vec<Schedule> {
    let mut names = HashSet::new();
    let mut found = Vec::new();
    for table in top.tables("schedule", Table::Schedule, mistakes) {
        let name = name(&table, &mut names, mistakes);
        let trigger = trigger(&table, mistakes);
        let on = run_on(&table, there, mistakes);
        let immediate = table.boolean("immediate", mistakes).unwrap_or(false);
        let enabled = table.boolean("enabled", mistakes).unwrap_or(true);
        let overlap = table.choice("overlap", OVERLAP, mistakes).unwrap_or_default();
        let payload = payload(&table, limits, mistakes);
        if let (Some(name), Some(trigger)) = (name, trigger) {
            found.push(Schedule { name, trigger, on, immediate, enabled, overlap, payload });
        }
    }
    found
}

fn name<'t>(
    table: &Section<'t, '_>,
    taken: &mut HashSet<&'t str>,
    mistakes: &mut Mistakes,
) -> Option<String> {
    table.missing("name", "write `name = \"refresh\"`: the guest's task gets it", mistakes);
    let name = table.string("name", mistakes)?;
    let text = name.value;
    if !(1..=MAX_NAME).contains(&text.chars().count()) || text.contains(char::is_control) {
        let help = format!("write 1 to {MAX_NAME} characters, none of them a control character");
        mistakes.at(name.span, "this can't be a schedule's name", help);
    } else if !taken.insert(text) {
        let title = format!("there is already a schedule `{text}`");
        mistakes.at(name.span, title, "give each schedule a name of its own");
    }
    Some(text.to_owned())
}

fn trigger(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<Trigger> {
    match (table.has("interval"), table.has("cron")) {
        (true, true) => {
            let title = "a schedule has an `interval` or a `cron`, not both";
            mistakes.at(table.key_place("cron"), title, "leave one of them out");
            None
        }
        (false, false) => {
            let help = "add `interval = \"10m\"` or `cron = \"0 3 * * *\"`";
            mistakes.at(table.place(), "the schedule has neither an `interval` nor a `cron`", help);
            None
        }
        (true, false) => {
            if table.has("timezone") {
                let help = "leave it out, or write a `cron` instead of the `interval`";
                mistakes.at(table.key_place("timezone"), "`timezone` goes only with `cron`", help);
            }
            Some(Trigger::Interval(table.duration("interval", &INTERVAL, mistakes)))
        }
        (false, true) => cron(table, mistakes),
    }
}

fn cron(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<Trigger> {
    let zone = match table.string("timezone", mistakes) {
        Some(At { value, span }) => match TimeZone::get(value) {
            Ok(_) => Some(value),
            Err(cause) => {
                let title = format!("`timezone` is unknown: {}", short(&cause.to_string()));
                mistakes.at(span, title, "write an IANA name, as in `timezone = \"Europe/Berlin\"`");
                None
            }
        },
        None => Some(DEFAULT_TIMEZONE),
    };
    let At { value: text, span } = table.string("cron", mistakes)?;
    if let Err((title, help)) = fires(text, zone.unwrap_or(DEFAULT_TIMEZONE)) {
        mistakes.at(span, title, help);
        return None;
    }
    Some(Trigger::Cron { pattern: text.to_owned(), timezone: zone?.to_owned() })
}

/// Is it a pattern that has a next time? If not, what is wrong and what to write.
fn fires(pattern: &str, zone: &str) -> Result<(), (String, &'static str)> {
    let help = "write minute, hour, day, month and weekday, as in \"0 3 * * *\", with seconds before them if need be";
    let wrong = |reason: &str| (format!("`cron` is no pattern: {reason}"), help);
    if pattern.len() > MAX_CRON {
        return Err(wrong(&format!("it is longer than {MAX_CRON} bytes")));
    }
    let fields = pattern.split_whitespace().count();
    if !(5..=6).contains(&fields) && !pattern.contains('@') {
        return Err(wrong(&format!("it has {fields} fields, not 5 or 6")));
    }
    // As the scheduler parses it.
    let cron: Cron = pattern.parse().map_err(|cause| wrong(&reason(&cause)))?;
    let zone = TimeZone::get(zone).map_err(|cause| wrong(&cause.to_string()))?;
    match cron.find_next_occurrence(&Zoned::now().with_time_zone(zone), false) {
        Ok(_) => Ok(()),
        Err(CronError::TimeSearchLimitExceeded) => {
            Err(("`cron` never fires".to_owned(), "write a date that exists in some year"))
        }
        Err(cause) => Err(wrong(&reason(&cause))),
    }
}

/// The library's reason as our errors are written.
fn reason(cause: &CronError) -> String {
    let text = match cause {
        CronError::InvalidPattern(text)
        | CronError::IllegalCharacters(text)
        | CronError::ComponentError(text) => text.replace("CronPattern", "it"),
        CronError::EmptyPattern
        | CronError::InvalidDate
        | CronError::InvalidTime
        | CronError::TimeSearchLimitExceeded => cause.to_string(),
    };
    let mut chars = text.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn run_on(table: &Section<'_, '_>, there: There, mistakes: &mut Mistakes) -> RunOn {
    let chosen = table.choice("type", RUN_ON, mistakes);
    let on = chosen.unwrap_or(RunOn::One);
    if chosen.is_none() && table.has("type") {
        return on; // wrong, and noted
    }
    let place = table.get("type").map_or(table.place(), toml::Spanned::span);
    match on {
        RunOn::Agent if !there.agent => {
            let help = "add an `[agent]` with a `component`, or write `type = \"one\"`";
            mistakes.at(place, "the schedule runs on the agent, and the app has none", help);
        }
        RunOn::One | RunOn::All if !there.worker => {
            let help = "add a `[worker]`, or write `type = \"agent\"`";
            mistakes.at(place, "the schedule runs on workers, and the app has none", help);
        }
        RunOn::One | RunOn::All | RunOn::Agent => {}
    }
    on
}

fn payload(table: &Section<'_, '_>, limits: &Limits, mistakes: &mut Mistakes) -> Option<String> {
    let payload = table.string("payload", mistakes)?;
    if payload.value.len() > limits.message_size {
        let title = format!("`payload` has more than `message-size`, which is {} bytes", limits.message_size);
        mistakes.at(payload.span, title, "give the task its data in a file");
    }
    Some(payload.value.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_as_a_table() {
        let cases = [
            ("* * * * *", true),
            ("*/10 * * * * *", true),
            ("0 3 * * MON-FRI", true),
            ("0 0 29 2 *", true),
            ("0 0 L * *", true),
            ("@daily", true),
            ("0 0 30 2 *", false),
            ("0 0 0 31 4,6,9,11 *", false),
            ("", false),
            ("* * * *", false),
            ("* * * * * * 2000", false),
            ("60 * * * *", false),
            ("@never", false),
            ("é é é é é", false),
            ("+ + + + +", false),
            ("1-0/0 * * * *", false),
            ("*/0 * * * *", false),
            ("99999999999999999999 * * * *", false),
        ];
        for (pattern, expected) in cases {
            assert_eq!(fires(pattern, "Europe/Berlin").is_ok(), expected, "{pattern:?}");
        }
        let long = "0,".repeat(MAX_CRON) + "0 * * * *";
        assert!(fires(&long, "UTC").is_err());
    }

    proptest! {
        // The library reads what somebody else wrote: it must not panic in the master.
        #[test]
        fn a_pattern_never_panics(pattern in "([-0-9*/,LW#?+A-Z]{0,6} ){4,6}[-0-9*/,LW#?+A-Z]{0,6}|\\PC{0,40}") {
            let _ = pattern.parse::<Cron>();
        }
    }
}
