//! The master's life, from its apps to the last exit. `hatchery run` calls it.

use std::{
    collections::BTreeMap,
    io::Write,
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    app::{self, Demand, Lines, Spec, Started},
    compile::compile,
    crash,
    listeners::MAX_HELD,
    pids::Pids,
    status::{AppStatus, StatusRequest},
};
use crate::{
    cluster::Role,
    ipc::compile::CompileRequest,
    manifest::App,
    sys::{limits::raise_nofile, listen},
};

/// What the master is to run.
#[derive(Debug)]
pub struct Options {
    /// Names and addresses are unique.
    pub apps: Vec<App>,
    /// Where Hatchery keeps what it makes; the native code is in `cache` below it.
    pub home: PathBuf,
    /// Who wants to know how the apps are.
    pub status: Option<mpsc::Receiver<StatusRequest>>,
}

/// The limit of open files where nobody has set one.
const USUAL_FDS: u64 = 1024;

/// Requests for its status that wait for one app.
const MAX_STATUS_REQUESTS: usize = 8;

/// The longest that an app's status is waited for.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Native code by what it was made of.
type Codes = BTreeMap<(PathBuf, Role), Arc<OwnedFd>>;

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
    let fds = raise_nofile().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit of open files");
        USUAL_FDS
    });
    let max_held = share(fds, options.apps.len());
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
    let mut asked = vec![];
    for (app, listener) in options.apps.into_iter().zip(listeners) {
        let code = |file: Option<&Path>, role| Some(Arc::clone(codes.get(&(file?.to_owned(), role))?));
        let spec = Spec {
            listener,
            worker: code(app.worker.as_ref().map(|worker| worker.component.file.as_path()), Role::Worker),
            agent: code(app.agent.as_ref().map(|agent| agent.component.file.as_path()), Role::Agent),
            max_held,
            pids: pids.clone(),
            seed: seed(),
            app,
        };
        let (status_to, status) = mpsc::channel(MAX_STATUS_REQUESTS);
        asked.push(status_to);
        let lines = Lines { demand: demands.clone(), status, started: started_to.clone() };
        apps.spawn(app::run(spec, lines));
    }
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

/// All or none, in the apps' order; `None` for an app without workers.
fn bind_all(apps: &[App]) -> anyhow::Result<Vec<Option<TcpListener>>> {
    let bind = |app: &App| {
        let Some(worker) = &app.worker else { return Ok(None) };
        let listener = listen::bind(worker.listen).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "address in use; choose another with --listen, or stop what has it"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "not permitted; choose a port from 1024 up with --listen"
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    "this host has no such address; choose another with --listen"
                }
                _ => "choose another address with --listen",
            };
            anyhow::Error::new(error)
                .context(format!("cannot listen on {} for {}: {hint}", worker.listen, app.name))
        })?;
        Ok(Some(listener))
    };
    apps.iter().map(bind).collect()
}

/// Each component once, as many at a time as there are CPUs.
async fn compile_all(apps: &[App], home: &Path) -> anyhow::Result<Codes> {
    let cache = home.join("cache");
    let mut requests = BTreeMap::new();
    for app in apps {
        let worker = app.worker.as_ref().map(|worker| (Role::Worker, &worker.component));
        let agent = app.agent.as_ref().map(|agent| (Role::Agent, &agent.component));
        for (role, component) in agent.into_iter().chain(worker) {
            let (component, app) = (component.file.clone(), app.name.clone());
            requests.entry((component.clone(), role)).or_insert_with(|| CompileRequest {
                component,
                cache: cache.clone(),
                role,
                app,
            });
        }
    }
    let at_a_time = available_parallelism().map_or(1, std::num::NonZero::get);
    stream::iter(requests)
        .map(|(key, request)| async move {
            let (app, role) = (request.app.clone(), request.role);
            tracing::info!("compiling {app} {role} {}", request.component.display());
            let component = request.component.clone();
            let compiled = compile(request).await?;
            let report = compiled.report;
            if role == Role::Worker && !report.answers_http {
                let (component, exports) = (component.display(), report.exports.join(", "));
                bail!(
                    "the worker of {app} answers no requests: {component} exports {exports}; export \
                     wasi:http/handler@0.3 or wasi:http/incoming-handler@0.2, or make it the agent's component"
                );
            }
            let (wasi, cached, elapsed) = (report.wasi, report.cached, report.elapsed);
            tracing::info!(app, %role, wasi, cached, ?elapsed, exports = report.exports.join(" "), "compiled");
            anyhow::Ok((key, Arc::new(compiled.code)))
        })
        .buffer_unordered(at_a_time)
        .try_collect()
        .await
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
