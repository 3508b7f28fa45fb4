//! The lines on stdout that scripts, and `hatchery start`, wait for. Who read them may have gone, by a Ctrl-C say:
//! the master goes on.
//!
//! `run`, `serve` and `deploy` print by it, never by `println!`, which panics then.

use std::io::Write as _;

/// Prints a line, whole.
pub(super) fn print(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let printed = stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush());
    if let Err(error) = printed {
        tracing::warn!(%error, line, "cannot print to stdout");
    }
}
