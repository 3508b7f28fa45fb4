//! The operating system's view of a cluster's processes, from `/proc`.
//!
//! Each process of a cluster has the mark of its cluster in its environment: the test gives it to the
//! master, and what begins with `HATCHERY_` is handed on to every child. So one is found wherever it is
//! in the tree of processes, also when its master is gone.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::in_time;

/// The mark's variable.
pub(super) const MARK: &str = "HATCHERY_E2E";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OsProcess {
    pub(crate) id: i32,
    /// As `ps` shows it: `hatchery: worker cache/0`.
    pub(crate) title: String,
}

impl OsProcess {
    /// Sends it a signal, if it is still there.
    pub(crate) fn signal(&self, signal: Signal) {
        // Gone is fine: that is what most signals are for.
        let _ = kill(Pid::from_raw(self.id), signal);
    }

    /// Is it there, and no zombie?
    pub(crate) fn lives(&self) -> bool {
        fs::read_to_string(self.file("stat"))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
    }

    /// Is there anything left of it, if only a zombie that nobody has waited for?
    pub(crate) fn exists(&self) -> bool {
        self.file("stat").exists()
    }

    /// The most memory it ever had, in KiB (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> u64 {
        self.try_peak_memory().unwrap()
    }

    /// The same, if it is still there.
    pub(crate) fn try_peak_memory(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    /// Its user ids and group ids, all that it has, as the host sees them.
    pub(crate) fn ids(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let status = fs::read_to_string(self.file("status")).unwrap();
        let numbers = |keys: &[&str]| {
            let lines = status.lines().filter_map(|line| line.split_once(':'));
            let lines = lines.filter(|(key, _)| keys.contains(key));
            lines.flat_map(|(_, rest)| rest.split_whitespace()).map(|id| id.parse().unwrap()).collect()
        };
        (numbers(&["Uid"]), numbers(&["Gid", "Groups"]))
    }

    /// How often its first thread has gone to sleep: a loop that does nothing hardly ever wakes.
    pub(crate) fn sleeps(&self) -> u64 {
        self.status("voluntary_ctxt_switches:").unwrap()
    }

    /// How long it may go on while others wait for its CPU, in nanoseconds, where the kernel shows it.
    pub(crate) fn turn(&self) -> Option<u64> {
        self.number("sched", "se.slice")
    }

    /// How each of its threads is scheduled, the first one first: `SCHED_*`.
    pub(crate) fn policies(&self) -> Vec<u32> {
        let policy = |stat: String| stat.rsplit(')').next()?.split_whitespace().nth(38)?.parse().ok();
        self.of_threads("stat").into_iter().map(|stat| policy(stat).unwrap()).collect()
    }

    /// What each of its threads is called, the first one first.
    pub(crate) fn threads(&self) -> Vec<String> {
        self.of_threads("comm").iter().map(|name| name.trim().to_owned()).collect()
    }

    /// A file of each thread that lives.
    fn of_threads(&self, file: &str) -> Vec<String> {
        let threads = fs::read_dir(self.file("task")).unwrap().flatten();
        let mut threads: Vec<i32> =
            threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect();
        threads.sort_by_key(|thread| (*thread != self.id, *thread));
        let read = |thread| fs::read_to_string(self.file(&format!("task/{thread}/{file}"))).ok();
        threads.into_iter().filter_map(read).collect()
    }

    fn status(&self, key: &str) -> Option<u64> {
        self.number("status", key)
    }

    /// The first number behind this, in one of its files.
    fn number(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.file(file)).ok()?;
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        rest.split(|char: char| !char.is_ascii_digit()).find(|number| !number.is_empty())?.parse().ok()
    }

    /// How many files it has open.
    pub(crate) fn fds(&self) -> usize {
        fs::read_dir(self.file("fd")).unwrap().count()
    }

    /// The memory that it has now, in KiB (`VmRSS`).
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:").unwrap()
    }

    /// How many of its children have ended and were not waited for.
    pub(crate) fn zombies(&self) -> usize {
        let is_one = |entry: fs::DirEntry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit(')').next()?.split_whitespace();
            Some(fields.next()? == "Z" && fields.next()?.parse() == Ok(self.id))
        };
        fs::read_dir("/proc").unwrap().flatten().filter_map(is_one).filter(|found| *found).count()
    }

    /// The CPU time that it has spent, in ticks of 10 ms.
    pub(crate) fn spent(&self) -> u64 {
        let stat = fs::read_to_string(self.file("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        // `utime` and `stime` of proc(5), after the name.
        fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.id))
    }
}

/// All that have this mark, zombies excepted (theirs is gone).
pub(crate) fn marked(mark: &str) -> Vec<OsProcess> {
    let variable = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // What ends meanwhile, or is another user's, can't be read.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes()) {
            let title = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let title = title.split(|byte| *byte == 0).next().unwrap_or_default();
            found.push(OsProcess { id, title: String::from_utf8_lossy(title).into_owned() });
        }
    }
    found
}

/// Waits until none of these lives; false when one still does at the deadline.
pub(crate) async fn gone(processes: &[OsProcess], deadline: Duration) -> bool {
    in_time(deadline, async || !processes.iter().any(OsProcess::lives)).await
}

/// The name of the mark's variable, for who starts a cluster by other means.
pub(crate) fn mark() -> &'static str {
    MARK
}
