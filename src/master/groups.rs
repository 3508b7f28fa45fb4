//! A cgroup for each child, where the master has one to make them in: `process-memory` as the kernel
//! counts it, which sees shared memory, buffers of sockets and page tables too.
//!
//! `run` opens the tree once and drops it at the end, `children` puts each child in before it gets its
//! first frame. Without a tree there are no groups, and `RLIMIT_DATA` is the only backstop.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use super::os_pid::OsPid;
use crate::{
    ipc::message::Boot,
    manifest::show_size,
    sys::{
        cgroup::{Group, Tree, delegated},
        limits::machine_memory,
    },
};

/// How often what a killed master left is looked at, and how long is waited between: its processes
/// die with it, but not in the same moment.
const SWEEPS: usize = 20;
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// How long a child waits for its group.
const PUT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a child's end waits for its group's.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The tree that is open.
static TREE: Mutex<Weak<Tree>> = Mutex::new(Weak::new());

/// The master's tree, as long as this lives.
pub(super) struct Opened {
    _tree: Option<Arc<Tree>>,
}

/// Opens the folder that the user names, or else the master's own cgroup where it is delegated.
///
/// # Errors
/// The named folder can't be used.
pub(super) async fn open(named: Option<&Path>) -> anyhow::Result<Opened> {
    let tree = match named {
        Some(folder) => Some(open_named(folder)?),
        None => delegated().and_then(|folder| open_delegated(&folder)),
    };
    let Some(tree) = tree else { return Ok(Opened { _tree: None }) };
    for _ in 0..SWEEPS {
        if !tree.sweep().is_ok_and(|left| left > 0) {
            break;
        }
        sleep(SWEEP_PAUSE).await;
    }
    let tree = Arc::new(tree);
    *TREE.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&tree);
    Ok(Opened { _tree: Some(tree) })
}

fn open_named(folder: &Path) -> anyhow::Result<Tree> {
    let context = || format!("cannot use the cgroup {} (--cgroup)", folder.display());
    let folder = folder.canonicalize().with_context(context)?;
    let tree = Tree::open(&folder).with_context(context)?;
    tracing::info!(folder = %folder.display(), "each process gets a cgroup");
    Ok(tree)
}

/// Nobody asked for it: without is no failure.
fn open_delegated(folder: &Path) -> Option<Tree> {
    match Tree::open(folder) {
        Ok(tree) => {
            tracing::info!(folder = %folder.display(), "each process gets a cgroup in the delegated one");
            Some(tree)
        }
        Err(error) => {
            let folder = folder.display();
            tracing::warn!("cannot use the delegated cgroup {folder}, goes on without: {error}");
            None
        }
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
    /// What it may have of memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn out_of_memory(self) -> Option<String> {
        let limit = show_size(self.bytes);
        (self.group.oom_kills() > 0).then(|| format!("out of memory: more than {limit} (`process-memory`)"))
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
    let tree = TREE.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    let (app, pid) = (boot.app.name.clone(), boot.process.pid);
    let name = format!("{app}-{}-{pid}", boot.process.role);
    let tree = tree.map(|tree| (tree, boot.app.process_memory(boot.process.role, machine_memory())));
    async move {
        let ((tree, bytes), os_pid) = (tree?, os_pid.get()?);
        let mut putting = spawn_blocking(move || {
            let group = tree.group(&name, bytes)?;
            group.add(os_pid)?;
            io::Result::Ok(Place { group, bytes })
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
