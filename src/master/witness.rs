//! What the master knows of one child when it ends or traps, for its crash reports.

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use super::{
    crash::{self, Kind, Who},
    status::Sandbox,
};
use crate::{
    ipc::blackbox::{self, Contents, Request},
    log::printable,
    sys::{sandbox::Report, user},
};

/// A child whose guest traps more often has one report for each such time.
const TRAP_REPORTS: Duration = Duration::from_secs(1);

/// How many of its last log lines say why it failed.
const LAST_LINES: usize = 5;

/// One for each child; its tasks share it.
pub(super) struct Witness {
    who: Who,
    blackbox: OwnedFd,
    seen: Mutex<Seen>,
    sandbox: OnceLock<Report>,
}

#[derive(Default)]
struct Seen {
    accused: Option<String>,
    said: Option<String>,
    trap_reported: Option<Instant>,
    capped: Option<u64>,
}

impl Witness {
    pub(super) fn new(who: Who, blackbox: OwnedFd) -> Self {
        Self { who, blackbox, seen: Mutex::default(), sandbox: OnceLock::new() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is going to be killed for this. The first reason counts.
    pub(super) fn accuse(&self, reason: &str) {
        self.seen().accused.get_or_insert_with(|| reason.to_owned());
    }

    /// It is going to end, and says why itself. The first reason counts.
    pub(super) fn said(&self, reason: String) {
        self.seen().said.get_or_insert(reason);
    }

    /// What it says that it is shut in. False: it has said so before.
    pub(super) fn shut_in(&self, report: Report) -> bool {
        self.sandbox.set(report).is_ok()
    }

    /// It has a cgroup that lets it have so much memory.
    pub(super) fn capped(&self, bytes: u64) {
        self.seen().capped = Some(bytes);
    }

    /// Which user it is, only the system knows: `measure` fills that in.
    pub(super) fn sandbox(&self) -> Option<Sandbox> {
        let report = self.sandbox.get()?.clone();
        Some(Sandbox { report, user: user::effective(), cgroup_bytes: self.seen().capped })
    }

    /// Its guest trapped.
    pub(super) fn trapped(&self, reason: &str, requests: Vec<Request>) {
        let mut seen = self.seen();
        if seen.trap_reported.is_some_and(|last| last.elapsed() < TRAP_REPORTS) {
            return;
        }
        seen.trap_reported = Some(Instant::now());
        drop(seen);
        // The requests in its black box have gone on by now.
        crash::report(&self.who, Kind::Trap, reason.to_owned(), Contents { requests, ..self.left() });
    }

    /// It is gone. `killed`: by the master, which had a reason of its own where nobody accused it.
    /// Gives why it ended, with what it said of that itself.
    pub(super) fn exited(&self, status: String, in_order: bool, killed: bool) -> String {
        let Seen { accused, said, .. } = std::mem::take(&mut *self.seen());
        let reason = match said {
            Some(said) => format!("{said} ({status})"),
            None => status,
        };
        match accused {
            Some(accused) => {
                crash::report(&self.who, Kind::Exit, format!("{accused} ({reason})"), self.left());
            }
            None if killed || in_order => {}
            None => crash::report(&self.who, Kind::Exit, reason.clone(), self.left()),
        }
        reason
    }

    /// The last lines that it logged, what its guest printed among them. Also when it is gone.
    pub(super) fn last_lines(&self) -> Vec<String> {
        last_of(&self.left().lines)
    }

    fn left(&self) -> Contents {
        blackbox::read(&self.blackbox).unwrap_or_default()
    }
}

/// Without the frames of backtraces, which are in the crash report, and would leave no room for what the
/// guest said before.
fn last_of(lines: &[String]) -> Vec<String> {
    let plain: Vec<String> = lines.iter().map(|line| printable(line).into_owned()).collect();
    let mut last: Vec<String> =
        plain.into_iter().rev().filter(|line| !is_frame(line)).take(LAST_LINES).collect();
    last.reverse();
    last
}

/// `  3:  0x20f5c - <unknown>!trap`
fn is_frame(line: &str) -> bool {
    line.trim_start().split_once(':').is_some_and(|(number, at)| {
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && at.trim_start().starts_with("0x")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_room_for_words() {
        let mut lines = vec!["earlier".to_owned(), "last words".to_owned(), "it trapped".to_owned()];
        lines.extend((0..9).map(|number| format!("   {number}:  0x53b6e - <unknown>!abort")));
        assert_eq!(last_of(&lines), ["earlier", "last words", "it trapped"]);
        let lines: Vec<_> = (0..9).map(|number| format!("{number}: it is no frame")).collect();
        assert_eq!(last_of(&lines), lines[4..]);
    }
}
