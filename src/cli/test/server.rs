//! The app that is tested: `hatchery run` in a child, with a home that goes with it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{home::Home, log, manifest::App, sys::terminate::terminate};

/// The longest that it may take to be ready. The master has bounds of its own, for each step.
const MAX_START: Duration = Duration::from_secs(3600);

/// The longest that a stop may take: the largest `stop-timeout`, and some more.
const MAX_STOP: Duration = Duration::from_secs(3600);

/// The most bytes of the log that are shown, from its end.
const MAX_SHOWN: u64 = 256 << 10;

/// Lines on the master's standard output are short.
const READY: &str = "ready app=";

/// A master with one app, and those that go with it. Dropping it kills it.
pub(super) struct Server {
    master: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    /// Gone when this is dropped.
    _folder: TempDir,
}

impl Server {
    /// Starts it, with the compiled components that `home` has.
    pub(super) fn spawn(path: &Path, app: &App, home: &Home) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hatchery-test-").tempdir();
        let folder = folder.context("cannot make a temporary folder")?;
        let (own, log) = (folder.path().join("home"), folder.path().join("log"));
        let made = || -> io::Result<File> {
            fs::DirBuilder::new().mode(0o700).create(&own)?;
            // Compiling takes seconds where a component holds an interpreter.
            symlink(home.cache(), own.join("cache"))?;
            File::create(&log)
        };
        let file = made().with_context(|| format!("cannot write to {}", folder.path().display()))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("hatchery: master");
        command.args(log::arguments()).arg("run").arg(path).arg("--home").arg(&own);
        command.args(["--parent", &std::process::id().to_string()]);
        if app.worker.is_some() {
            command.args(["--listen", &format!("{}=127.0.0.1:0", app.name)]);
        }
        // A group of its own: Ctrl-C is for this process, which stops it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).process_group(0).kill_on_drop(true);
        let mut master = command.spawn().context("cannot start a master")?;
        let stdout = master.stdout.take().context("the master has no standard output")?;
        Ok(Self { master, stdout: BufReader::new(stdout).lines(), log, _folder: folder })
    }

    /// Waits until all are ready, and gives the address of `app`, which has one where it has a worker.
    pub(super) async fn ready(&mut self, apps: &[App], app: &App) -> anyhow::Result<Option<SocketAddr>> {
        let late = || format!("{} is not ready within {} minutes", app.name, MAX_START.as_secs() / 60);
        timeout(MAX_START, self.all_ready(apps, app)).await.with_context(late)?
    }

    async fn all_ready(&mut self, apps: &[App], app: &App) -> anyhow::Result<Option<SocketAddr>> {
        let mut missing: BTreeSet<&str> = apps.iter().map(|app| app.name.as_str()).collect();
        let mut address = None;
        while !missing.is_empty() {
            let line = self.stdout.next_line().await.context("cannot read what the master prints")?;
            let Some(line) = line else {
                let ended = self.master.wait().await.context("cannot wait for the master")?;
                bail!("{} could not be started ({ended}); its log is above", app.name);
            };
            let Some(ready) = line.strip_prefix(READY) else { continue };
            let (name, addr) = ready.split_once(" addr=").unwrap_or((ready, ""));
            missing.remove(name);
            if name == app.name {
                address = addr.parse().ok();
            }
        }
        Ok(address)
    }

    /// Stops it in order; then shows its log, if that is wanted.
    pub(super) async fn stop(mut self, show_log: bool) {
        let stopped = match terminate(&self.master) {
            Ok(()) => timeout(MAX_STOP, self.master.wait()).await.is_ok(),
            Err(_) => false,
        };
        if !stopped {
            let _ = self.master.kill().await;
        }
        if show_log {
            eprintln!("--- the app's log\n{}---", tail(&self.log));
        }
    }
}

fn tail(file: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_SHOWN)))?;
        let mut text = Vec::new();
        file.take(MAX_SHOWN).read_to_end(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) => format!("(it can't be read: {error})\n"),
    }
}
