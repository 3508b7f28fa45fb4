//! A home with `hatchery start` in it: the verbs of a service, as a user runs them. Whatever it started
//! is stopped, and looked for, when it is dropped.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::process::Command;

use super::{
    App, Done,
    cluster::binary,
    command::clean,
    place::Place,
    processes::{MARK, OsProcess, marked},
};

/// How long what it started may take to be gone at the end.
const END: Duration = Duration::from_secs(20);

/// Of most tests' apps.
const TENANT: u32 = 2_097_199_999;

/// One home.
pub(crate) struct Service {
    place: Place,
}

impl Service {
    /// Nothing runs in it yet. Where the tests are root's, all apps are of one tenant: what is compiled for one is
    /// for all.
    pub(crate) fn new() -> Self {
        let service = Self::with_own_users();
        let tenant = format!("[[tenant]]\napps = [\"*\"]\nuid = {TENANT}\n");
        fs::write(service.home().join("settings.toml"), tenant).unwrap();
        service
    }

    /// Where the tests are root's, each app is a tenant.
    pub(crate) fn with_own_users() -> Self {
        Self { place: Place::new() }
    }

    /// One that compiles everything anew.
    pub(crate) fn with_own_cache() -> Self {
        Self { place: Place::with_own_cache() }
    }

    /// What the verbs are run in, the home's parent.
    pub(crate) fn folder(&self) -> &Path {
        self.place.folder.path()
    }

    /// Where it keeps its state.
    pub(crate) fn home(&self) -> PathBuf {
        self.place.home()
    }

    /// Writes an app, and gives its folder as an argument.
    pub(crate) fn write(&self, app: &App) -> String {
        self.write_to(&app.name, app)
    }

    /// As [`Service::write`], into a folder of this name.
    pub(crate) fn write_to(&self, name: &str, app: &App) -> String {
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        app.write(&folder);
        folder.display().to_string()
    }

    /// The file whose content names the point at which the master is killed.
    pub(crate) fn kill_at(&self) -> PathBuf {
        self.folder().join("kill-at")
    }

    /// A file beside the home, as an argument.
    pub(crate) fn file(&self, name: &str, data: impl AsRef<[u8]>) -> String {
        let file = self.folder().join(name);
        fs::write(&file, data).unwrap();
        file.display().to_string()
    }

    /// A verb that is to be run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from(clean(binary()));
        command
            .args(arguments)
            .current_dir(self.folder())
            .env("HATCHERY_HOME", self.home())
            .env("HATCHERY_LOG_LEVEL", "debug")
            .env("HATCHERY_TEST_KILL_AT", self.kill_at())
            .env("RUST_BACKTRACE", "1")
            .env(MARK, &self.place.mark)
            // Registries of tests are near, and everybody's.
            .env("NO_PROXY", "127.0.0.1")
            .env("DOCKER_CONFIG", self.folder().join("docker"))
            .env_remove("NOTIFY_SOCKET");
        command
    }

    /// Runs a verb to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Done {
        let output = self.command(arguments).output().await.unwrap();
        Done {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a verb that must go well, and gives what it printed.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}\n{}\n{}", done.stdout, done.stderr, self.log());
        done.stdout
    }

    /// Runs a verb that must fail, and gives its error.
    pub(crate) async fn fails(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments).await;
        assert_eq!(done.code, Some(1), "{arguments:?}: {}\n{}", done.stdout, done.stderr);
        assert!(done.stderr.contains("error: "), "{arguments:?}: {}", done.stderr);
        done.stderr
    }

    /// Starts, and deploys these.
    pub(crate) async fn start(&self, apps: &[&str]) -> String {
        self.ok(&[&["start"], apps].concat()).await
    }

    /// `status --json`.
    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"]).await).unwrap()
    }

    /// `history --json` of an app.
    pub(crate) async fn history(&self, app: &str) -> Value {
        serde_json::from_str(&self.ok(&["history", app, "--json"]).await).unwrap()
    }

    /// Where an app listens.
    pub(crate) async fn addr_of(&self, app: &str) -> SocketAddr {
        let status = self.status().await;
        let apps = status["apps"].as_array().unwrap();
        let found =
            apps.iter().find(|found| found["name"] == app).unwrap_or_else(|| panic!("no {app}: {status}"));
        found["address"].as_str().unwrap().parse().unwrap()
    }

    /// What the master and its children said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home().join("logs/hatchery.log")).unwrap_or_default()
    }

    /// The master, if one runs.
    pub(crate) fn master(&self) -> Option<OsProcess> {
        self.processes().into_iter().find(|process| process.title == "hatchery: master")
    }

    /// All that run.
    pub(crate) fn processes(&self) -> Vec<OsProcess> {
        marked(&self.place.mark)
    }

    /// What tells its processes from all others, for [`marked`].
    pub(crate) fn mark(&self) -> &str {
        &self.place.mark
    }

    /// How many bytes the store, and all below it, takes.
    pub(crate) fn stored(&self) -> u64 {
        size(&self.home().join("store"))
    }
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size(&entry.path()),
            _ => entry.metadata().map_or(0, |found| found.len()),
        })
        .sum()
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(master) = self.master() {
            master.signal(Signal::SIGTERM);
        }
        let end = Instant::now() + END;
        while !self.processes().is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        let left = self.processes();
        left.iter().for_each(|process| process.signal(Signal::SIGKILL));
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "the end of the service's log:\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        } else {
            assert!(left.is_empty(), "still there at the end: {left:?}\n{}", self.log());
        }
    }
}
