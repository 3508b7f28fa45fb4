//! A line on standard error that shows what is going on, on a terminal. In a pipe it is quiet.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the line moves.
const TICK: Duration = Duration::from_millis(100);

/// What goes on now.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shown from now on, unless the title is empty. Gone from the terminal when dropped.
    pub(super) fn new(title: String) -> Self {
        if title.is_empty() || !io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new_spinner().with_prefix(title);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Another thing goes on now.
    pub(super) fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A line on standard output that stays.
    pub(super) fn print(&self, line: &str) {
        // Who reads it may have gone: a master that deploys does not end for that.
        let _ = self.bar.suspend(|| writeln!(io::stdout(), "{line}"));
    }

    /// A line on standard error that stays.
    pub(super) fn note(&self, line: &str) {
        let _ = self.bar.suspend(|| writeln!(io::stderr(), "{line}"));
    }

    /// It went well. Said on a terminal only.
    pub(super) fn done(self, what: &str) {
        self.bar.finish_and_clear();
        if io::stderr().is_terminal() {
            let _ = writeln!(io::stderr(), "{what}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
