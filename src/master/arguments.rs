//! A child's command line: its hidden verb, the master's OS pid, and how to log.

use std::ffi::OsString;

use crate::log;

/// For a child that is a `verb`: `worker`, `agent`, `compiler` or `storekeeper`.
pub(super) fn of(verb: &str) -> Vec<OsString> {
    let master = std::process::id().to_string();
    [verb.to_owned(), master].into_iter().chain(log::arguments()).map(Into::into).collect()
}
