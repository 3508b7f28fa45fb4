//! Processes that are neither agents nor workers, for `status`: since when they are there, and what they have
//! shut themselves into, which each says by a pipe once all is set (`sandbox::tell`). And their logs.
//!
//! `broker` keeps its own; what `compile` and `store` start is listed here for as long as it runs.

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt as _, net::unix::pipe};

use super::status::{self, HelperStatus, Sandbox};
use crate::{
    cluster::State,
    log,
    sys::{
        inherit::{LOG_FD, REPORT_FD},
        sandbox::Report,
        spawn::Child,
        user,
    },
};

/// The most bytes that one may say.
const MAX_REPORT: u64 = 4 << 10;

/// Those that come and go by themselves; no more than there are of them.
static LISTED: Mutex<Vec<Weak<Known>>> = Mutex::new(vec![]);

/// The master's end of a helper's pipe, and whose it is.
pub(super) struct Line {
    pipe: pipe::Receiver,
    role: status::Helper,
    app: Option<String>,
}

/// One process. It is listed for as long as this lives.
pub(super) struct Helper(Arc<Known>);

struct Known {
    role: status::Helper,
    app: Option<String>,
    os_pid: u32,
    since: Instant,
    /// What it said; `None` where that was nothing, or nothing that can be believed.
    said: OnceLock<Option<Report>>,
}

/// Pipes for a helper that is to be started, which may log so many bytes a second: our end, and its ends with their
/// numbers.
pub(super) fn line(
    role: status::Helper,
    app: Option<&str>,
    log_rate: u64,
) -> io::Result<(Line, [(OwnedFd, RawFd); 2])> {
    let log = log::collect(log::Whose::helper(app, role), log_rate)?;
    let (theirs, pipe) = pipe::pipe()?;
    let line = Line { pipe, role, app: app.map(str::to_owned) };
    Ok((line, [(log, LOG_FD), (theirs.into_blocking_fd()?, REPORT_FD)]))
}

impl Helper {
    /// It has been started. To be called in a Tokio runtime.
    pub(super) fn new(child: &Child, line: Line) -> Self {
        let Line { pipe, role, app } = line;
        let known = Arc::new(Known {
            role,
            app,
            os_pid: child.id().unwrap_or_default(),
            since: Instant::now(),
            said: OnceLock::new(),
        });
        // Ends with the process, if not before.
        tokio::spawn(listen(pipe, Arc::downgrade(&known)));
        if role != status::Helper::Broker {
            let mut listed = listed();
            listed.retain(|known| known.strong_count() > 0);
            listed.push(Arc::downgrade(&known));
        }
        Self(known)
    }

    /// The operating system's pid.
    pub(super) fn os_pid(&self) -> u32 {
        self.0.os_pid
    }

    /// Since it was started.
    pub(super) fn age(&self) -> Duration {
        self.0.since.elapsed()
    }

    /// How it is. What only the system knows, `measure` fills in.
    pub(super) fn status(&self) -> HelperStatus {
        self.0.status()
    }
}

/// Those that are listed, the oldest first.
pub(super) fn all() -> Vec<HelperStatus> {
    listed().iter().filter_map(Weak::upgrade).map(|known| known.status()).collect()
}

fn listed() -> MutexGuard<'static, Vec<Weak<Known>>> {
    LISTED.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(pipe: pipe::Receiver, known: Weak<Known>) {
    let mut packet = vec![];
    let read = pipe.take(MAX_REPORT).read_to_end(&mut packet).await;
    let report = read.ok().and_then(|_| postcard::from_bytes(&packet).ok()).filter(Report::is_bounded);
    if let Some(known) = known.upgrade() {
        let _ = known.said.set(report);
    }
}

impl Known {
    fn status(&self) -> HelperStatus {
        let said = self.said.get();
        let report = said.cloned().flatten();
        HelperStatus {
            role: self.role,
            app: self.app.clone(),
            os_pid: self.os_pid,
            state: if said.is_some() { State::Ready } else { State::Starting },
            uptime_seconds: self.since.elapsed().as_secs(),
            memory_bytes: None,
            cpu_seconds: None,
            sandbox: report.map(|report| Sandbox { report, user: user::effective(), cgroup_bytes: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _, process::Command};

    use super::*;

    /// What is known of a process that says this.
    async fn said(packet: &[u8]) -> HelperStatus {
        let mut process = Command::new("sleep").arg("60").spawn().unwrap();
        let child = Child::of(&process).unwrap();
        let (line, [_, (theirs, _)]) = line(status::Helper::Compiler, Some("a"), log::RATE).unwrap();
        let helper = Helper::new(&child, line);
        let id = child.id().unwrap();
        let is_listed = || all().iter().any(|one| one.os_pid == id);
        assert!(is_listed() && helper.status().state == State::Starting);
        File::from(theirs).write_all(packet).unwrap();
        let status = tokio::time::timeout(Duration::from_secs(10), async {
            while helper.status().state == State::Starting {
                tokio::task::yield_now().await;
            }
            helper.status()
        });
        let status = status.await.unwrap();
        drop(helper);
        assert!(!is_listed());
        process.kill().unwrap();
        process.wait().unwrap();
        status
    }

    #[tokio::test]
    async fn what_it_says_is_bounded_and_optional() {
        let report = Report { landlock_abi: 7, ..Report::default() };
        let sound = said(&postcard::to_stdvec(&report).unwrap()).await;
        assert_eq!(sound.sandbox.map(|sandbox| sandbox.report), Some(report));
        for packet in [&b""[..], b"\xff\xff\xff\xff", &[0xff; 8192]] {
            assert_eq!(said(packet).await.sandbox, None, "{} bytes", packet.len());
        }
    }
}
