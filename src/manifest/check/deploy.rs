//! `[deploy]`: what a new version must show before it serves.

use std::time::Duration;

use http::uri::PathAndQuery;

use super::super::{Deploy, Health, document::Section, error::Mistakes, keys::Table, quantity::Bounds};

/// `health-timeout`.
const TIMEOUT: Bounds<Duration> =
    Bounds { default: Duration::from_secs(5), min: Duration::from_millis(10), max: Duration::from_secs(300) };

/// `health-within`. The default is that of `start-timeout`.
const WITHIN: Bounds<Duration> = Bounds {
    default: super::START_TIMEOUT.default,
    min: Duration::from_millis(100),
    max: Duration::from_secs(3600),
};

/// The least and the most `health-status`: what ends a request.
const STATUS: (u32, u32) = (200, 599);

/// `health-status` without the key.
const DEFAULT_STATUS: u16 = 200;

/// The least and the most `health-successes`; default 1.
const SUCCESSES: (u32, u32) = (1, 100);

/// The longest path, in bytes.
const MAX_PATH: usize = 1024;

/// What means nothing without `health`.
const DETAILS: [&str; 4] = ["health-status", "health-timeout", "health-successes", "health-within"];

pub(super) fn deploy(top: &Section<'_, '_>, mistakes: &mut Mistakes) -> Deploy {
    let Some(table) = top.table("deploy", Table::Deploy, mistakes) else { return Deploy::default() };
    // Each is looked at, also where it means nothing.
    let status = table.integer("health-status", STATUS, mistakes);
    let timeout = table.duration("health-timeout", &TIMEOUT, mistakes);
    let successes = table.integer("health-successes", SUCCESSES, mistakes).unwrap_or(1);
    let within = table.duration("health-within", &WITHIN, mistakes);
    if !table.has("health") {
        for key in DETAILS.into_iter().filter(|key| table.has(key)) {
            let help = "say which path is asked for, as in `health = \"/healthz\"`, or leave this out";
            mistakes.at(table.key_place(key), format!("`{key}` goes with `health`"), help);
        }
        return Deploy::default();
    }
    if !top.has("worker") {
        let help = "only a worker answers requests: leave `health` out, or add a `[worker]`";
        mistakes.at(table.key_place("health"), "`health` needs a worker", help);
    }
    let Some(path) = path(&table, mistakes) else { return Deploy::default() };
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(DEFAULT_STATUS);
    Deploy { health: Some(Health { path, status, timeout, successes, within }) }
}

/// The path of a request, with its query where it has one.
fn path(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<String> {
    let path = table.string("health", mistakes)?;
    let text = path.value;
    let is_path = text.starts_with('/')
        && text.len() <= MAX_PATH
        // `http` would cut it off.
        && !text.contains('#')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == text);
    if !is_path {
        let help = format!(
            "write the path of a GET, as in `health = \"/healthz\"`: it begins with `/` and has at most \
             {MAX_PATH} characters, those that are not ASCII as `%` escapes"
        );
        mistakes.at(path.span, "this can't be a path", help);
        return None;
    }
    Some(text.to_owned())
}
