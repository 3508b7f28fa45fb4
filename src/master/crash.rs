//! Crash reports: what was known of a process that died, or whose guest trapped, as one JSON file.
//!
//! `witness` brings them. They lie in `apps/NAME/crashes` below the home, the newest [`KEPT`] of each app. A
//! disk may be slow, and a guest that traps brings many: they are written on a thread, one after the other for
//! each app, and nobody waits for that but the master's end.

mod waiting;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use self::waiting::Waiting;

use super::os_pid::OsPid;
use crate::{
    cluster::Role,
    ipc::{
        blackbox::{Contents, Request},
        message::Boot,
    },
};

/// Reports that an app keeps.
pub(crate) const KEPT: usize = 20;

/// How long the master's end waits for those that are being written, and how often it looks.
const LAST_WRITES: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

static WAITING: Mutex<Waiting<Crash>> = Mutex::new(Waiting::new());

static HOME: OnceLock<PathBuf> = OnceLock::new();

/// Where the home is. Once, before the first child.
pub(crate) fn keep_in(home: &Path) {
    let _ = HOME.set(home.to_owned());
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The process is gone.
    Exit,
    /// Its guest trapped; the process goes on.
    Trap,
}

/// Who it happened to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Who {
    app: String,
    version: String,
    role: String,
    slot: u32,
    pid: u64,
    /// As soon as it has one.
    os_pid: OsPid,
    generation: u64,
}

impl Who {
    pub(crate) fn new(boot: &Boot, os_pid: OsPid) -> Self {
        let (app, process) = (&boot.app, &boot.process);
        Self {
            app: app.name.clone(),
            version: app.version.clone(),
            role: process.role.to_string(),
            slot: process.slot,
            pid: process.pid.0,
            os_pid,
            generation: process.generation,
        }
    }

    fn name(&self) -> String {
        if self.role == Role::Agent.to_string() {
            self.role.clone()
        } else {
            format!("{}-{}", self.role, self.slot)
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    time: String,
    kind: Kind,
    #[serde(flatten)]
    who: &'a Who,
    /// One line: signal, exit code, trap, limit, hang.
    reason: &'a str,
    /// The guest's functions, the innermost first.
    backtrace: Vec<&'a str>,
    /// In hand at that moment, the oldest first.
    requests: &'a [Request],
    /// The last lines that the process logged.
    log: &'a [String],
}

/// What is to be written.
#[derive(Debug)]
struct Crash {
    time: Timestamp,
    who: Who,
    kind: Kind,
    reason: String,
    left: Contents,
}

/// Has a report written, which is then named in the log. A report that can't be written is no failure of
/// anything else. To be called in a Tokio runtime.
pub(crate) fn report(who: &Who, kind: Kind, reason: String, left: Contents) {
    let Some(home) = HOME.get() else { return };
    let folder = home.join("apps").join(&who.app).join("crashes");
    write_soon(folder, Crash { time: Timestamp::now(), who: who.clone(), kind, reason, left });
}

fn write_soon(folder: PathBuf, crash: Crash) {
    let app = crash.who.app.clone();
    if !waiting().push(&app, crash) {
        return;
    }
    spawn_blocking(move || {
        while let Some(crash) = next(&app) {
            match write(&folder, &crash) {
                Ok(file) => tracing::error!("crash report: {}", file.display()),
                Err(error) => tracing::warn!("cannot write a crash report: {error:#}"),
            }
        }
    });
}

/// Waits until all are written, but not for long: the last thing that the master does.
pub(crate) async fn written() {
    let all = async {
        while !waiting().is_empty() {
            sleep(LOOK_EVERY).await;
        }
    };
    if timeout(LAST_WRITES, all).await.is_err() {
        tracing::warn!("crash reports are lost: the disk did not take them in time");
    }
}

/// Nothing panics under the lock.
fn waiting() -> MutexGuard<'static, Waiting<Crash>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(app: &str) -> Option<Crash> {
    waiting().pop(app)
}

fn write(folder: &Path, crash: &Crash) -> anyhow::Result<PathBuf> {
    let Crash { time, who, kind, reason, left } = crash;
    let mut lines = reason.lines();
    let report = Report {
        time: format!("{time:.3}"),
        kind: *kind,
        who,
        reason: lines.next().unwrap_or_default(),
        backtrace: lines.map(str::trim).collect(),
        requests: &left.requests,
        log: &left.lines,
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // By name they are in the order of time.
    let name = format!("{}-{}-{}.json", time.strftime("%Y%m%dT%H%M%S%.6f"), who.name(), who.pid);
    let file = folder.join(name);
    let json = serde_json::to_vec_pretty(&report)?;
    fs::write(&file, json).with_context(|| format!("cannot write {}", file.display()))?;
    prune(folder)?;
    Ok(file)
}

fn prune(folder: &Path) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort_unstable();
    for old in files.iter().rev().skip(KEPT) {
        fs::remove_file(old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    Ok(())
}

#[cfg(test)]
impl Who {
    pub(crate) fn nobody() -> Self {
        let os_pid = OsPid::default();
        os_pid.set(Some(42));
        Self {
            app: "cache".to_owned(),
            version: "1".to_owned(),
            role: "worker".to_owned(),
            slot: 1,
            pid: 7,
            os_pid,
            generation: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(kind: Kind, reason: &str, left: Contents) -> Crash {
        Crash { time: Timestamp::now(), who: Who::nobody(), kind, reason: reason.to_owned(), left }
    }

    #[test]
    fn it_holds_what_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let left = Contents {
            requests: vec![Request { request: "GET /slow".to_owned(), age_ms: 12 }],
            lines: vec!["time it goes".to_owned()],
        };
        let reason = "wasm trap: unreachable\n    0: probe!trap\n    1: probe!answer";
        let file = write(folder.path(), &crash(Kind::Trap, reason, left)).unwrap();
        let mut report: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert!(report.as_object_mut().unwrap().remove("time").is_some());
        let expected = serde_json::json!({
            "kind": "trap", "app": "cache", "version": "1", "role": "worker", "slot": 1, "pid": 7, "os-pid": 42,
            "generation": 3, "reason": "wasm trap: unreachable",
            "backtrace": ["0: probe!trap", "1: probe!answer"],
            "requests": [{ "request": "GET /slow", "age_ms": 12 }], "log": ["time it goes"],
        });
        assert_eq!(report, expected);
    }

    #[test]
    fn the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for _ in 0..KEPT + 5 {
            let crash = crash(Kind::Exit, "signal 9", Contents::default());
            files.push(write(folder.path(), &crash).unwrap());
        }
        files.sort_unstable();
        let kept: Vec<bool> = files.iter().map(|file| file.exists()).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), KEPT);
        assert!(kept[5..].iter().all(|kept| *kept));
    }

    #[test]
    fn nobody_waits_for_a_disk_that_is_slow() {
        let folder = tempfile::tempdir().unwrap();
        let files = || fs::read_dir(folder.path()).unwrap().count();
        // Its one thread for what blocks is taken until this one says so.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
        let (go_on, goes_on) = std::sync::mpsc::channel();
        runtime.spawn_blocking(move || goes_on.recv());
        runtime.block_on(async {
            for pid in 0..KEPT as u64 + 5 {
                let mut crash = crash(Kind::Exit, "signal 9", Contents::default());
                crash.who.pid = pid;
                write_soon(folder.path().to_owned(), crash);
            }
            assert_eq!(files(), 0);
            go_on.send(()).unwrap();
            written().await;
            assert_eq!(files(), KEPT);
        });
    }
}
