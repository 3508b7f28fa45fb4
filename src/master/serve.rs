//! The master's life as a service: what is deployed in its home, from one start to the next. `hatchery
//! start` calls it.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use futures::future::join_all;
use http_body_util::BodyExt as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

use super::{
    admin::{Events, Socket},
    app::Demand,
    apps::{Apps, Ended},
    broker, crash,
    deploy::{Action, Deployer, Job},
    groups, isolation,
    manager::{News, tell},
    run::{end, settle},
    signals::Signals,
    stdout, tenants,
};
use crate::{
    home::{Home, Keeps, Lock},
    log::rotate,
    sys::{daemon, sandbox::Isolation, user},
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

/// What a master needs to be a service.
#[derive(Debug)]
pub struct Service {
    /// Where its state is.
    pub home: Home,
    /// The home's.
    pub lock: Lock,
    /// How it lives.
    pub lifetime: Lifetime,
    /// Cgroups that are this master's own, of version 1 one for each controller. Empty: the one that it is
    /// in, where that is delegated.
    pub cgroups: Vec<PathBuf>,
    /// How much of the sandbox must hold.
    pub isolation: Isolation,
    /// Told when all that was deployed is back, or has failed.
    pub restored: Option<oneshot::Sender<()>>,
}

impl Lifetime {
    /// In the background, whoever may have been waiting has had its answer.
    async fn tell(self, news: News) {
        if self == Self::Foreground {
            tell(news).await;
        }
    }
}

/// Serves what is deployed in this home, and what will be. Prints `ready app=NAME addr=HOST:PORT` on
/// stdout for each app that is back. In the foreground it tells systemd how it is.
///
/// To be called in a current-thread Tokio runtime.
///
/// # Errors
/// The cgroup can't be used, the admin socket can't be had, or the home can't be read.
pub async fn serve(service: Service) -> anyhow::Result<()> {
    let Service { home, lock, lifetime, cgroups, isolation, restored: tell_restored } = service;
    let mut signals = Signals::new()?;
    let mut hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    // Until the last child is gone.
    let groups = groups::open(&cgroups).await?;
    tenants::keep_in(home.folder(), Keeps::Lasting);
    isolation::prepare(isolation).await?;
    let socket = Socket::bind(&home)?;
    let (apps, ended) = Apps::new(settle(), USUAL_APPS);
    crash::keep_in(home.folder());
    broker::obey(home.folder());
    let deployer = Deployer::new(home.clone(), apps.clone());
    tracing::info!(home = %home.folder().display(), "started");
    let (restored_to, restored) = oneshot::channel();
    let restoring = async {
        deployer.restore().await?;
        match lifetime {
            Lifetime::Background => {
                stdout::print(SERVING);
                daemon::close_stdout().context("cannot close stdout")?;
            }
            Lifetime::Foreground => lifetime.tell(News::Ready).await,
        }
        let _ = restored_to.send(());
        if let Some(tell) = tell_restored {
            let _ = tell.send(());
        }
        std::future::pending().await
    };
    let reloading = async {
        // Before that there is nothing to reload, and nobody may hear that all is ready.
        let _ = restored.await;
        while hangups.recv().await.is_some() {
            lifetime.tell(News::Reloading).await;
            reload_all(&apps, &deployer).await;
            lifetime.tell(News::Ready).await;
        }
        std::future::pending::<()>().await;
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
        () = supervise(&apps, ended, &mut signals, &deployer, lifetime) => Ok(()),
        result = restoring => result,
        () = socket.run(deployer.clone()) => Ok(()),
        () = reloading => Ok(()),
        () = rotating => Ok(()),
    };
    crash::written().await;
    // Who takes the lock next may have the groups as well.
    groups.close().await;
    drop(lock);
    result
}

/// Until it is to stop, and all apps have.
async fn supervise(
    apps: &Apps,
    mut ended: mpsc::UnboundedReceiver<Ended>,
    signals: &mut Signals,
    deployer: &Deployer,
    lifetime: Lifetime,
) {
    while !(apps.are_ending() && apps.are_gone()) {
        tokio::select! {
            Some((app, how)) = ended.recv() => match how {
                Ok(()) => tracing::info!(app, "has ended"),
                // Who started it says so.
                Err(error) => tracing::debug!(app, "has ended: {error:#}"),
            },
            wanted = signals.next() => {
                end(apps, wanted);
                lifetime.tell(News::Stopping).await;
            }
            () = deployer.stopped() => {
                end(apps, Demand::Stop);
                lifetime.tell(News::Stopping).await;
            }
        }
    }
}

/// SIGHUP: new processes for all. Returns when each has them, or has failed, which is in the log.
async fn reload_all(apps: &Apps, deployer: &Deployer) {
    let mut ends = vec![];
    for app in apps.names() {
        let job = Job { app, uid: user::effective(), action: Action::Reload };
        let (say, events) = Events::new();
        match deployer.begin(job, say) {
            Ok(()) => ends.push(events.collect()),
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
    join_all(ends).await;
}
