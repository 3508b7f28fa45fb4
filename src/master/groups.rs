//! A cgroup for each child, where the master has one to make them in: `process-memory` as the kernel
//! counts it, which sees shared memory, buffers of sockets and page tables too.
//!
//! `run` opens the tree once and drops it at the end, `children` puts each child in before it gets its
//! first frame. Without a tree there are no groups, and `RLIMIT_DATA` is the only backstop.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::sleep;

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

/// A child in its group.
pub(super) struct Capped {
    group: Group,
    bytes: u64,
}

impl Capped {
    /// Why the kernel killed it, if it did so for its memory.
    pub(super) fn out_of_memory(&self) -> Option<String> {
        let limit = show_size(self.bytes);
        (self.group.oom_kills() > 0).then(|| format!("out of memory: more than {limit} (`process-memory`)"))
    }
}

/// Makes a child's group and puts it in, where there is a tree. One that could not be made is told in
/// the log: the child has its own cap too.
pub(super) fn put(boot: &Boot, os_pid: Option<u32>) -> Option<Capped> {
    let tree = TREE.lock().unwrap_or_else(PoisonError::into_inner).upgrade()?;
    let (app, process) = (&boot.app, &boot.process);
    let name = format!("{}-{}-{}", app.name, process.role, process.pid);
    let bytes = app.process_memory(process.role, machine_memory());
    let made = tree.group(&name, bytes).and_then(|group| {
        group.add(os_pid.unwrap_or_default())?;
        Ok(Capped { group, bytes })
    });
    made.inspect_err(|error| {
        tracing::warn!(app = app.name, pid = %process.pid, "goes on without a cgroup of its own: {error}");
    })
    .ok()
}
