//! A cgroup for each app and each of its children, where the master has one to make them in: its share of
//! the CPUs, `cpus`, `app-memory` and the number of its tasks; `process-memory` as the kernel counts it,
//! which sees shared memory, buffers of sockets and page tables too.
//!
//! `run` opens the tree once and drops it at the end; `children` puts each child in before it gets its
//! first frame, and [`beside`] does so for brokers and compilers. Without a tree there are no groups:
//! niceness and `RLIMIT_DATA` are the only backstops, and `cpus` can't be held, which [`check`] says.

mod beside;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

pub(super) use self::beside::{Work, put_beside};
use super::{isolation, os_pid::OsPid};
use crate::{
    ipc::message::Boot,
    manifest::{App, show_size},
    sys::{
        cgroup::{AppLimits, Controller, Group, Member, OutOf, Tree, delegated},
        limits::machine_memory,
        sandbox::{self, Isolation},
    },
};

/// How often what a killed master left is looked at, and what this one leaves, and how long is waited
/// between: processes die with it, but not in the same moment.
const SWEEPS: usize = 20;
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// How long a child waits for its group.
const PUT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a child's end waits for its group's.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Generations of which the processes are counted: one that serves, and one that starts or drains.
const GENERATIONS: u64 = 2;

/// Processes of a generation beside its workers and its agent: a broker, and a compiler for each role.
const BESIDE: u64 = 3;

/// The tree that is open.
static TREE: Mutex<Weak<Tree>> = Mutex::new(Weak::new());

/// The master's tree, as long as this lives.
pub(super) struct Opened(Option<Arc<Tree>>);

impl Opened {
    /// At the end, when no agent or worker is left: waits a little for those for whom nobody waits, as brokers.
    pub(super) async fn close(self) {
        if let Some(tree) = self.0 {
            sweep(&tree).await;
        }
    }
}

/// Opens the folders that the user names, or else the master's own cgroup where it is delegated. Says what
/// they hold, once.
///
/// # Errors
/// A named folder can't be used.
pub(super) async fn open(named: &[PathBuf]) -> anyhow::Result<Opened> {
    let tree = if named.is_empty() {
        delegated().and_then(|folder| open_delegated(&folder))
    } else {
        Some(open_named(named)?)
    };
    let Some(tree) = tree else { return Ok(Opened(None)) };
    let lacks: Vec<_> = Controller::ALL.into_iter().filter(|one| !tree.holds(*one)).map(lack).collect();
    if !lacks.is_empty() {
        tracing::warn!("cgroups do not hold all that they could: {}", lacks.join("; "));
    }
    sweep(&tree).await;
    let tree = Arc::new(tree);
    *TREE.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&tree);
    Ok(Opened(Some(tree)))
}

async fn sweep(tree: &Tree) {
    for _ in 0..SWEEPS {
        if !tree.sweep().is_ok_and(|left| left > 0) {
            break;
        }
        sleep(SWEEP_PAUSE).await;
    }
}

fn open_named(folders: &[PathBuf]) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    for folder in folders {
        let context = || format!("cannot use the cgroup {} (--cgroup)", folder.display());
        let folder = folder.canonicalize().with_context(context)?;
        tree.take(&folder).with_context(context)?;
        tracing::info!(folder = %folder.display(), "each app and process gets a cgroup");
    }
    Ok(tree)
}

/// Nobody asked for it: without is no failure.
fn open_delegated(folder: &Path) -> Option<Tree> {
    let mut tree = Tree::default();
    match tree.take(folder) {
        Ok(()) => {
            let folder = folder.display();
            tracing::info!(%folder, "each app and process gets a cgroup in the delegated one");
            Some(tree)
        }
        Err(error) => {
            let folder = folder.display();
            tracing::warn!("cannot use the delegated cgroup {folder}, goes on without: {error}");
            None
        }
    }
}

/// What is so without a controller.
fn lack(controller: Controller) -> &'static str {
    match controller {
        Controller::Memory => "no memory controller, so that `process-memory` does not see all",
        Controller::Cpu => {
            "no cpu controller, so that `cpu-weight` is of each process, and `cpus` is not held"
        }
        Controller::Pids => "no pids controller, so that an app's processes are not counted",
    }
}

fn tree() -> Option<Arc<Tree>> {
    TREE.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
}

/// Does the kernel count this for an app?
pub(super) fn hold(controller: Controller) -> bool {
    tree().is_some_and(|tree| tree.holds(controller))
}

/// Says so where an app has a limit that can't be held here.
///
/// # Errors
/// That is so, and isolation is strict.
pub(super) fn check(app: &App) -> anyhow::Result<()> {
    if app.limits.cpus.is_none() || hold(Controller::Cpu) {
        return Ok(());
    }
    let app = &app.name;
    let lacks =
        "`cpus` can't be held: the master has no cgroup with the cpu controller; name one with --cgroup";
    match isolation::in_force() {
        Isolation::Strict => {
            bail!("cannot start {app}: {lacks}, or take the key away, or set isolation = \"best-effort\"")
        }
        Isolation::BestEffort => tracing::warn!(app, "{lacks}"),
    }
    Ok(())
}

/// What an app's group is to hold.
pub(super) fn limits_of(app: &App) -> AppLimits {
    let workers = app.worker.as_ref().map_or(0, |worker| u64::from(worker.workers.get()));
    let processes = workers + 1 + BESIDE;
    AppLimits {
        cpu_weight: app.limits.cpu_weight,
        cpus: app.limits.cpus,
        memory: app.limits.app_memory,
        tasks: sandbox::PROCESSES * GENERATIONS * processes,
    }
}

/// A child with a group of its own.
pub(super) enum Capped {
    /// It is in it.
    In(Place),
    /// It goes on without, since it is being put in for too long. It may still get in.
    Late(JoinHandle<io::Result<Place>>),
}

/// A child's place.
pub(super) struct Place {
    group: Group,
    bytes: u64,
    app_bytes: Option<u64>,
}

impl Capped {
    /// Once the child is gone: removes its group, and says why the kernel killed it, if it did so for its
    /// memory. What takes too long is left to its thread, and to the tree's last sweep.
    pub(super) async fn ended(self) -> Option<String> {
        let ended = async {
            let place = match self {
                Self::In(place) => place,
                Self::Late(putting) => putting.await.ok()?.ok()?,
            };
            spawn_blocking(move || place.out_of_memory()).await.ok()?
        };
        timeout(END_TIMEOUT, ended).await.ok()?
    }
}

impl Place {
    /// What it may have of memory. `None`: it is not counted.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.group.counts_memory().then_some(self.bytes)
    }

    fn out_of_memory(self) -> Option<String> {
        let (limit, key) = match (self.group.out_of_memory()?, self.app_bytes) {
            (OutOf::App, Some(bytes)) => (bytes, "app-memory"),
            (OutOf::Process, _) | (OutOf::App, None) => (self.bytes, "process-memory"),
        };
        Some(format!("out of memory: more than {} (`{key}`)", show_size(limit)))
    }
}

/// Makes a child's group and puts it in, where there is a tree. To be waited for before the child gets its
/// first frame, and before it is reaped, since until then its pid is nobody else's. That does not hold for
/// one that is [`Capped::Late`]: where it ends meanwhile, and the system gives its pid to another process
/// at once, that one is put in. A group that could not be made is told in the log: the child has its own
/// cap too.
///
/// On a thread of its own, since the kernel takes 10 to 80 ms to move a process, and now and then more.
pub(super) fn put(boot: &Boot, os_pid: OsPid) -> impl Future<Output = Option<Capped>> + Send + use<> {
    let tree = tree();
    let (app, pid) = (boot.app.name.clone(), boot.process.pid);
    let bytes = boot.app.process_memory(boot.process.role, machine_memory());
    let member = Member {
        app: app.clone(),
        name: format!("{}-{pid}", boot.process.role),
        memory: Some(bytes),
        limits: (boot.process.generation, limits_of(&boot.app)),
    };
    async move {
        let (tree, os_pid) = (tree?, os_pid.get()?);
        let mut putting = spawn_blocking(move || {
            let group = joined(&tree, &member, os_pid)?;
            io::Result::Ok(Place { group, bytes, app_bytes: member.limits.1.memory })
        });
        let failure = match timeout(PUT_TIMEOUT, &mut putting).await {
            Ok(Ok(Ok(place))) => return Some(Capped::In(place)),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(broken)) => broken.to_string(),
            Err(_) => {
                let limit = humantime::format_duration(PUT_TIMEOUT);
                tracing::warn!(app, %pid, "does not wait for its cgroup: it takes more than {limit}");
                return Some(Capped::Late(putting));
            }
        };
        tracing::warn!(app, %pid, "goes on without a cgroup of its own: {failure}");
        None
    }
}

/// Makes a group with its process in it.
fn joined(tree: &Arc<Tree>, member: &Member, os_pid: u32) -> io::Result<Group> {
    let group = tree.join(member)?;
    group.add(os_pid)?;
    if let Some(error) = group.unheld() {
        tracing::warn!(app = member.app, "its cgroup does not hold all of its limits: {error}");
    }
    Ok(group)
}
