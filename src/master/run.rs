//! The master's life in the foreground: the apps of the command line, from their start to the last
//! exit. `hatchery run` calls it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

use super::{
    app::Demand,
    apps::{Apps, Ended},
    bind::bind_all,
    broker, crash, groups, isolation,
    release::{Release, compile_all, secrets_of},
    reload::{Load, Reloads, Wishes},
    signals::Signals,
    stdout,
    steps::{Step, Steps},
    tenants,
};
use crate::{
    home::Keeps,
    manifest::App,
    sys::{
        limits::raise_nofile,
        memory,
        priority::{self, SHORTEST},
        sandbox::Isolation,
    },
};

/// What the master is to run.
pub struct Options {
    /// Names and addresses are unique.
    pub apps: Vec<App>,
    /// Where Hatchery keeps what it makes; the native code is in `cache` below it.
    pub home: PathBuf,
    /// Reads the apps anew, for a reload.
    pub reload: Load,
    /// Cgroups that are this master's own, of version 1 one for each controller. Empty: the one that it is
    /// in, where that is delegated.
    pub cgroups: Vec<PathBuf>,
    /// When to reload, beside SIGHUP.
    pub wishes: Option<Wishes>,
    /// How much of the sandbox must hold.
    pub isolation: Isolation,
}

/// The limit of open files where nobody has set one.
const USUAL_FDS: u64 = 1024;

/// How often memory that is free goes back to the system.
const GIVE_BACK: Duration = Duration::from_secs(10);

/// Runs the apps until a signal ends them. Prints one line on stdout for each app that is ready:
/// `ready app=NAME addr=HOST:PORT`.
///
/// To be called in a current-thread Tokio runtime.
///
/// # Errors
/// An app could not start: its port is taken, its component does not compile, or one of its
/// processes failed. By then nothing runs any more.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let Options { apps: wanted, home, reload, cgroups, wishes, isolation } = options;
    let mut signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let (apps, ended) = Apps::new(settle(), wanted.len());
    // Until the last child is gone.
    let groups = groups::open(&cgroups).await?;
    crash::keep_in(&home);
    broker::obey(&home);
    tenants::keep_in(&home, Keeps::Run);
    isolation::prepare(isolation).await?;
    let listeners = bind_all(&wanted)?;
    let secrets = secrets_of(&wanted, &home).await?;
    let codes = tokio::select! {
        codes = compile_all(&wanted, &home) => codes?,
        _ = signals.next() => return Ok(()),
    };
    let names = wanted.iter().map(|app| app.name.clone()).collect();
    for ((app, listener), secrets) in wanted.into_iter().zip(listeners).zip(secrets) {
        let (steps, happens) = Steps::new();
        tokio::spawn(print_ready(app.name.clone(), happens));
        apps.start(Release::new(app, &codes, secrets), listener, steps)?;
    }
    // The apps have what they need of it.
    drop(codes);
    let reloads = Reloads { load: reload, home, names, apps: apps.clone() };
    let result = tokio::select! {
        result = supervise(&apps, ended, &mut signals) => result,
        () = reloads.run(hangups, wishes) => Ok(()),
    };
    groups.close().await;
    crash::written().await;
    result
}

/// How the master takes its part of the machine. Gives how many files it may have open.
pub(super) fn settle() -> u64 {
    let _ = priority::take_turns(SHORTEST);
    tokio::spawn(give_back());
    raise_nofile().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of open files");
        USUAL_FDS
    })
}

/// What a burst of messages took is not the master's for good; never ends.
async fn give_back() {
    loop {
        sleep(GIVE_BACK).await;
        memory::give_back();
    }
}

/// Waits for all apps. One that fails ends the others.
async fn supervise(
    apps: &Apps,
    mut ended: mpsc::UnboundedReceiver<Ended>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    while !apps.are_gone() {
        tokio::select! {
            Some((_, how)) = ended.recv() => {
                if how.is_err() {
                    apps.demand(Demand::Stop);
                    result = result.and(how);
                }
            }
            wanted = signals.next() => end(apps, wanted),
        }
    }
    // The last one's end may still wait here.
    while let Ok((_, how)) = ended.try_recv() {
        result = result.and(how);
    }
    result
}

/// A signal came: what it wants, or the worst when it is the second.
pub(super) fn end(apps: &Apps, wanted: Demand) {
    let wanted = if apps.are_ending() { Demand::Kill } else { wanted };
    tracing::info!("{}", if wanted == Demand::Kill { "killing" } else { "stopping" });
    apps.demand(wanted);
}

/// Prints the line of an app that serves.
async fn print_ready(app: String, mut happens: mpsc::UnboundedReceiver<Step>) {
    while let Some(step) = happens.recv().await {
        if let Step::Serves { address, .. } = step {
            tracing::info!(app, "every process is ready");
            print_serves(&app, address);
        }
    }
}

/// The line that scripts wait for.
pub(super) fn print_serves(app: &str, address: Option<SocketAddr>) {
    stdout::print(&match address {
        Some(address) => format!("ready app={app} addr={address}"),
        None => format!("ready app={app}"),
    });
}
