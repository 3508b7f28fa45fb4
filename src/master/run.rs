//! The master's life, from its apps to the last exit. `hatchery run` calls it.

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use futures::future::join_all;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    app::{self, Demand, Lines, Spec, Started},
    bind::bind_all,
    crash, groups,
    listeners::MAX_HELD,
    pids::Pids,
    release::{Release, compile_all},
    reload::{Load, Reloads},
    status::{AppStatus, StatusRequest},
};
use crate::{manifest::App, sys::limits::raise_nofile};

/// What the master is to run.
pub struct Options {
    /// Names and addresses are unique.
    pub apps: Vec<App>,
    /// Where Hatchery keeps what it makes; the native code is in `cache` below it.
    pub home: PathBuf,
    /// Who wants to know how the apps are.
    pub status: Option<mpsc::Receiver<StatusRequest>>,
    /// Reads the apps anew, for a reload.
    pub reload: Load,
    /// A cgroup that is this master's own. `None`: the one that it is in, where that is delegated.
    pub cgroup: Option<PathBuf>,
}

/// The limit of open files where nobody has set one.
const USUAL_FDS: u64 = 1024;

/// Requests for its status that wait for one app.
const MAX_STATUS_REQUESTS: usize = 8;

/// The longest that an app's status is waited for.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Reloads that wait for one app: it takes each at once, and keeps the last.
const MAX_RELOADS: usize = 4;

/// Runs the apps until a signal ends them. Prints one line on stdout for each app that is ready:
/// `ready app=NAME addr=HOST:PORT`.
///
/// To be called in a current-thread Tokio runtime, on the main thread.
///
/// # Errors
/// An app could not start: its port is taken, its component does not compile, or one of its
/// processes failed. By then nothing runs any more.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let fds = raise_nofile().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of open files");
        USUAL_FDS
    });
    let max_held = share(fds, options.apps.len());
    // Until the last child is gone.
    let _groups = groups::open(options.cgroup.as_deref()).await?;
    crash::keep_in(&options.home);
    let listeners = bind_all(&options.apps)?;
    let codes = tokio::select! {
        codes = compile_all(&options.apps, &options.home) => codes?,
        _ = signals.next() => return Ok(()),
    };
    let (demand, demands) = watch::channel(Demand::Run);
    let (started_to, started) = mpsc::unbounded_channel();
    let pids = Pids::default();
    let mut apps = JoinSet::new();
    let (mut asked, mut reloaded) = (vec![], vec![]);
    for (app, listener) in options.apps.into_iter().zip(listeners) {
        let (status_to, status) = mpsc::channel(MAX_STATUS_REQUESTS);
        let (reload_to, reload) = mpsc::channel(MAX_RELOADS);
        asked.push(status_to);
        reloaded.push((app.name.clone(), reload_to));
        let release = Release::new(app, &codes);
        let spec = Spec { listener, max_held, pids: pids.clone(), seed: seed(), release };
        let lines = Lines { demand: demands.clone(), status, reload, started: started_to.clone() };
        apps.spawn(app::run(spec, lines));
    }
    // The apps have what they need of it.
    drop(codes);
    let reloads = Reloads { load: options.reload, home: options.home, apps: reloaded };
    drop(started_to);
    let mut status = options.status;
    let answering = async {
        if let Some(requests) = &mut status {
            while let Some(request) = requests.recv().await {
                let _ = request.send(ask_all(&asked).await);
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = supervise(apps, &demand, started, &mut signals) => result,
        () = answering => Ok(()),
        () = reloads.run(hangups) => Ok(()),
    }
}

/// The apps' status, in their order, without those that do not say.
async fn ask_all(apps: &[mpsc::Sender<oneshot::Sender<AppStatus>>]) -> Vec<AppStatus> {
    let ask = |app: &mpsc::Sender<oneshot::Sender<AppStatus>>| {
        let (asked, answer) = oneshot::channel();
        let sent = app.try_send(asked);
        async move {
            sent.ok()?;
            timeout(STATUS_TIMEOUT, answer).await.ok()?.ok()
        }
    };
    join_all(apps.iter().map(ask)).await.into_iter().flatten().collect()
}

/// Waits for all apps. One that fails ends the others.
async fn supervise(
    mut apps: JoinSet<anyhow::Result<()>>,
    demand: &watch::Sender<Demand>,
    mut started: mpsc::UnboundedReceiver<Started>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    loop {
        tokio::select! {
            Some(started) = started.recv() => print_ready(&started),
            ended = apps.join_next() => {
                let ended = match ended {
                    None => return result,
                    Some(Ok(ended)) => ended,
                    Some(Err(panic)) => Err(anyhow::Error::from(panic).context("an app's loop broke")),
                };
                if ended.is_err() {
                    raise(demand, Demand::Stop);
                    result = result.and(ended);
                }
            }
            wanted = signals.next() => {
                let again = *demand.borrow() != Demand::Run;
                let wanted = if again { Demand::Kill } else { wanted };
                tracing::info!("{}", if wanted == Demand::Kill { "killing" } else { "stopping" });
                raise(demand, wanted);
            }
        }
    }
}

fn raise(demand: &watch::Sender<Demand>, wanted: Demand) {
    demand.send_if_modified(|demand| {
        let raised = wanted > *demand;
        *demand = wanted.max(*demand);
        raised
    });
}

fn print_ready(started: &Started) {
    let Started { app, address } = started;
    tracing::info!(app, "every process is ready");
    let mut stdout = std::io::stdout().lock();
    let printed = match address {
        Some(address) => writeln!(stdout, "ready app={app} addr={address}"),
        None => writeln!(stdout, "ready app={app}"),
    };
    if let Err(error) = printed.and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "cannot print the ready line");
    }
}

/// Of the fds, a half is for connections under way, in equal parts: with none left a worker that died
/// could not be replaced, and what is held would be held for ever.
fn share(fds: u64, apps: usize) -> usize {
    let half = usize::try_from(fds / 2).unwrap_or(usize::MAX);
    (half / apps.max(1)).clamp(1, MAX_HELD)
}

/// Differs from start to start; nothing secret hangs on it.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64 ^ u64::from(std::process::id())
}

/// The signals that end the master.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
        })
    }

    /// What the next one wants, if it is the first.
    async fn next(&mut self) -> Demand {
        tokio::select! {
            _ = self.terminate.recv() => Demand::Stop,
            _ = self.interrupt.recv() => Demand::Stop,
            _ = self.quit.recv() => Demand::Kill,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_as_a_table() {
        for (fds, apps, held) in [
            (1 << 20, 1, MAX_HELD),
            (1024, 1, 512),
            (1024, 4, 128),
            (u64::MAX, 0, MAX_HELD),
            (40, 1, 20),
            (0, 3, 1),
        ] {
            assert_eq!(share(fds, apps), held, "{fds} over {apps}");
        }
    }

    #[test]
    fn a_demand_only_goes_up() {
        let (demand, _keep) = watch::channel(Demand::Run);
        for (wanted, becomes) in [
            (Demand::Stop, Demand::Stop),
            (Demand::Run, Demand::Stop),
            (Demand::Kill, Demand::Kill),
            (Demand::Stop, Demand::Kill),
        ] {
            raise(&demand, wanted);
            assert_eq!(*demand.borrow(), becomes);
        }
    }
}
