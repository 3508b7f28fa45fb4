//! `hatchery test`: an app's own tests, against the app.
//!
//! ```text
//!   build -> `hatchery run` in a child: free port, temporary home -> ready -> [test] command -> stop
//! ```
//!
//! The app's log goes to a file, so that the test's own words are not lost in it, and is shown when
//! something fails.

mod server;

use std::{
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use self::server::Server;
use super::{
    build::{self, Command, end},
    home::Home,
};
use crate::manifest::{self, App, Overrides};

/// Run an app's own tests
///
/// Builds the app, starts it on a free port with a temporary home, and runs `command` of the manifest's
/// `[test]` in the app's folder, with HATCHERY_URL=http://127.0.0.1:PORT in its environment; then stops.
/// The exit code is the command's. The app's log is shown when it fails.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Test {
    /// A folder that holds a hatchery.toml, or such a file
    #[arg(value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    home: Home,
}

const EXAMPLES: &str = "\
Examples:
  hatchery test hello
  hatchery test hello && hatchery deploy hello";

/// The address of the app, for its test.
const URL: &str = "HATCHERY_URL";

/// What a shell says of a command that a signal ended, without the signal's number.
const SIGNALLED: i32 = 128;

/// Of Ctrl-C.
const INTERRUPTED: u8 = 130;

impl Test {
    pub(super) async fn execute(self) -> anyhow::Result<ExitCode> {
        // It starts what goes with it in development, too.
        let apps = manifest::load_all(std::slice::from_ref(&self.path), &Overrides::default())?;
        let app = apps.last().context("there is no app")?;
        let Some(test) = &app.test else {
            bail!(
                "{} has no tests: add `[test]` with a `command` to {}, as in `command = \"python3 test.py\"`",
                app.name,
                app.manifest.display()
            );
        };
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        let command =
            Command { title: format!("testing {}", app.name), words: &test.command, folder: &app.folder };
        let mut server = None;
        let ended = tokio::select! {
            ended = self.test(&apps, app, &command, &mut server) => Some(ended),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        };
        let failed = !matches!(&ended, Some(Ok(status)) if status.success());
        if let Some(server) = server {
            server.stop(failed && ended.is_some()).await;
        }
        let Some(ended) = ended else { return Ok(ExitCode::from(INTERRUPTED)) };
        let status = ended?;
        if failed {
            eprintln!("{}: `{}` failed ({})", command.title, command.shown(), end(status));
        }
        Ok(ExitCode::from(code(status)))
    }

    /// All but the stop.
    async fn test(
        &self,
        apps: &[App],
        app: &App,
        command: &Command<'_>,
        server: &mut Option<Server>,
    ) -> anyhow::Result<ExitStatus> {
        for app in apps {
            build::build(app).await?;
        }
        let server = server.insert(Server::spawn(&self.path, app, &self.home.open()?)?);
        let address = server.ready(apps, app).await?;
        eprintln!("{}: {}", command.title, command.shown());
        let mut prepared = command.prepare()?;
        match address {
            Some(address) => prepared.env(URL, format!("http://{address}")),
            None => prepared.env_remove(URL),
        };
        let mut child = command.spawn(prepared)?;
        command.wait(&mut child).await
    }
}

/// As a shell gives it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(SIGNALLED + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
