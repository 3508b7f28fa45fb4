//! `hatchery start`: a master as a service, in the background or for systemd.

use std::{
    fs::{File, OpenOptions},
    future::pending,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;

use super::{cgroup::Cgroup, deploy, home::Home as HomeOption, isolation::Isolation, print_failure};
use crate::{
    admin::Client,
    home::{Home, Lock, holder, lasting_holder},
    log::{self, printable},
    master::{Lifetime, SERVING, Service, serve},
    sys::daemon,
};

/// Start hatchery as a service: what was deployed comes back, and more can be deployed
///
/// Returns when everything serves, and prints one line per app: `ready app=NAME addr=HOST:PORT`.
/// The master goes on in the background; its log is logs/hatchery.log in the home.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Start {
    /// Folders of apps to deploy at once, as `hatchery deploy` does
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Stay in the foreground, and log to standard error: for systemd, or a container
    #[arg(long)]
    foreground: bool,
    #[command(flatten)]
    home: HomeOption,
    /// Started by `hatchery start`
    #[arg(long, hide = true)]
    background: bool,
    #[command(flatten)]
    cgroup: Cgroup,
    #[command(flatten)]
    isolation: Isolation,
}

const EXAMPLES: &str = "\
Examples:
  hatchery start                       what was deployed before
  hatchery start guests/cache          and this app
  hatchery start --foreground          under systemd, or in a container";

/// The most bytes of the log that are shown when the start fails.
const MAX_SHOWN: u64 = 64 << 10;

impl Start {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let home = self.home.open()?;
        if self.background {
            daemon::detach().context("cannot leave the terminal")?;
            let lock = Lock::take(&home)?;
            let isolation = self.isolation.of(&home)?;
            let (lifetime, cgroups) = (Lifetime::Background, self.cgroup.folders());
            return serve(Service { home, lock, lifetime, cgroups, isolation, restored: None }).await;
        }
        if self.foreground {
            let lock = Lock::take(&home)?;
            let isolation = self.isolation.of(&home)?;
            let (restored_to, restored) = oneshot::channel();
            let deploying = deploy_when(restored, home.clone(), self.paths);
            let (lifetime, cgroups) = (Lifetime::Foreground, self.cgroup.folders());
            let restored = Some(restored_to);
            tokio::select! {
                result = serve(Service { home, lock, lifetime, cgroups, isolation, restored }) => return result,
                deployed = deploying => return deployed,
            }
        }
        // An app of before that fails is no reason not to deploy another one.
        let restored = again(&home, &self.cgroup, &self.isolation);
        if restored.is_err() && holder(&home)?.is_none() {
            return restored;
        }
        if let Err(error) = deploy_all(home.clone(), self.paths).await {
            stop_if_empty(&home).await;
            return Err(error);
        }
        restored
    }
}

/// Starts it in the background, and returns when what was deployed is back.
///
/// # Errors
/// It can't start, or one of the apps can't: the others serve then.
pub(super) fn again(home: &Home, cgroup: &Cgroup, isolation: &Isolation) -> anyhow::Result<()> {
    let failures = in_background(home, cgroup, isolation)?;
    if failures > 0 {
        bail!("{failures} of the apps could not be started; see `hatchery status`");
    }
    Ok(())
}

/// Deploys these when what was deployed is back: that may be the same apps. Returns only where that failed, and
/// nothing else serves: what does is worth more than what does not come.
async fn deploy_when(restored: oneshot::Receiver<()>, home: Home, paths: Vec<PathBuf>) -> anyhow::Result<()> {
    // The master says why it ended.
    if restored.await.is_err() {
        return pending().await;
    }
    if let Err(error) = deploy_all(home.clone(), paths).await {
        if is_empty(&home).await {
            return Err(error);
        }
        print_failure(&error);
    }
    pending().await
}

/// One that fails is no reason not to deploy the others: the last failure is the error, those before are said.
async fn deploy_all(home: Home, paths: Vec<PathBuf>) -> anyhow::Result<()> {
    let client = Client::new(home);
    let mut result = Ok(());
    for path in paths {
        client.answers().await?;
        if let Err(error) = deploy::folder(&client, &path).await
            && let Err(before) = std::mem::replace(&mut result, Err(error))
        {
            print_failure(&before);
        }
    }
    result
}

/// A master in which nothing is deployed is of no use to who asked for an app.
async fn stop_if_empty(home: &Home) {
    if is_empty(home).await {
        let _ = super::stop::stop(home).await;
    }
}

async fn is_empty(home: &Home) -> bool {
    let client = Client::new(home.clone());
    let status = client.get::<crate::admin::Status>("/v1/status").await;
    status.is_ok_and(|status| status.apps.is_empty() && status.failed.is_empty())
}

/// Starts it, shows its lines until it closes its stdout, and gives how many apps failed.
fn in_background(home: &Home, cgroup: &Cgroup, isolation: &Isolation) -> anyhow::Result<usize> {
    if let Some(pid) = lasting_holder(home)? {
        bail!(
            "a hatchery with pid {pid} runs already with the home {}; `hatchery deploy` gives it another app",
            home.folder().display()
        );
    }
    let file = home.log_file();
    let log = open_log(&file)?;
    let before = log.metadata()?.len();
    let mut command = Command::new("/proc/self/exe");
    command.arg0("hatchery: master");
    command.args(log::arguments()).args(["start", "--background", "--home"]).arg(home.folder());
    for folder in cgroup.absolute()? {
        command.arg("--cgroup").arg(folder);
    }
    command.args(isolation.arguments());
    let mut master = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .current_dir("/")
        .spawn()
        .context("cannot start the master")?;
    if let Some(failures) = relay(&mut master)? {
        return Ok(failures);
    }
    let status = master.wait().context("cannot wait for the master")?;
    bail!("the master ended ({status}): {}; its log is {}", last_words(&file, before), file.display())
}

fn open_log(file: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.open(file).with_context(|| format!("cannot write the log {}", file.display()))
}

/// Shows what it prints. Gives how many apps failed, or `None` where it ended.
fn relay(master: &mut Child) -> anyhow::Result<Option<usize>> {
    let Some(stdout) = master.stdout.take() else { return Ok(None) };
    let mut failures = 0;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what the master prints")?;
        if line == SERVING {
            return Ok(Some(failures));
        }
        match line.strip_prefix("failed ") {
            Some(failure) => {
                failures += 1;
                eprintln!("error: {}", printable(failure));
            }
            None => println!("{}", printable(&line)),
        }
    }
    Ok(None)
}

fn last_words(file: &Path, from: u64) -> String {
    let mut text = String::new();
    let read = File::open(file).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.take(MAX_SHOWN).read_to_string(&mut text)
    });
    match read {
        Ok(_) => {
            text.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or(text.trim()).to_owned()
        }
        Err(error) => format!("(its log can't be read: {error})"),
    }
}
