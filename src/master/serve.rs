//! The master's life as a service: what is deployed in its home, from one start to the next. `hatchery
//! start` calls it.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    admin::{Events, Socket},
    app::Demand,
    apps::{Apps, Ended},
    crash,
    deploy::{Action, Deployer, Job},
    run::{end, open_files},
    signals::Signals,
};
use crate::{
    home::{Home, Lock},
    log::rotate,
    sys::{daemon, user},
};

/// The apps among which the fds are shared out.
const USUAL_APPS: usize = 16;

/// How often the size of the log is looked at.
const LOOK_AT_LOG: Duration = Duration::from_secs(5);

/// What a master in the background prints last, when all that was deployed is back or has failed.
pub const SERVING: &str = "serving";

/// How the master lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as who started it wants, such as a terminal or systemd.
    Foreground,
    /// On its own. Its stdout is closed when what was deployed is back.
    Background,
}

/// Serves what is deployed in this home, and what will be. Prints `ready app=NAME addr=HOST:PORT` on
/// stdout for each app that is back.
///
/// To be called in a current-thread Tokio runtime, on the main thread.
///
/// # Errors
/// The admin socket can't be had, or the home can't be read.
pub async fn serve(home: Home, lock: Lock, lifetime: Lifetime) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let socket = Socket::bind(&home)?;
    let (apps, ended) = Apps::new(open_files(), USUAL_APPS);
    crash::keep_in(home.folder());
    let deployer = Deployer::new(home.clone(), apps.clone());
    tracing::info!(home = %home.folder().display(), "started");
    let restoring = async {
        deployer.restore().await?;
        if lifetime == Lifetime::Background {
            println!("{SERVING}");
            daemon::close_stdout().context("cannot close stdout")?;
        }
        std::future::pending().await
    };
    let reloading = async {
        while hangups.recv().await.is_some() {
            reload_all(&deployer).await;
        }
        std::future::pending().await
    };
    let rotating = async {
        loop {
            tokio::time::sleep(LOOK_AT_LOG).await;
            if lifetime == Lifetime::Background {
                rotate::when_large(home.log_file()).await;
            }
        }
    };
    let result = tokio::select! {
        () = supervise(&apps, ended, &mut signals, &deployer) => Ok(()),
        result = restoring => result,
        () = socket.run(deployer.clone()) => Ok(()),
        () = reloading => Ok(()),
        () = rotating => Ok(()),
    };
    drop(lock);
    result
}

/// Until it is to stop, and all apps have.
async fn supervise(
    apps: &Apps,
    mut ended: mpsc::UnboundedReceiver<Ended>,
    signals: &mut Signals,
    deployer: &Deployer,
) {
    while !(apps.are_ending() && apps.are_gone()) {
        tokio::select! {
            Some((app, how)) = ended.recv() => match how {
                Ok(()) => tracing::info!(app, "has ended"),
                // Who started it says so.
                Err(error) => tracing::debug!(app, "has ended: {error:#}"),
            },
            wanted = signals.next() => end(apps, wanted),
            () = deployer.stopped() => end(apps, Demand::Stop),
        }
    }
}

/// SIGHUP: new processes for all.
async fn reload_all(deployer: &Deployer) {
    for app in deployer.status().await.apps {
        let job = Job { app: app.name, uid: user::effective(), action: Action::Reload };
        if let Err(error) = deployer.begin(job, Events::none()) {
            tracing::warn!("{error:#}");
        }
    }
}
