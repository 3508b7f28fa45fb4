//! Groups for what works for an app beside its agent and workers: a broker, a compiler. `broker` and
//! `compile` call it before such a child gets its first frame.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::{task::spawn_blocking, time::timeout};

use super::{END_TIMEOUT, PUT_TIMEOUT, joined, tree};
use crate::{
    manifest::PROCESS_HEADROOM,
    sys::cgroup::{AppLimits, Group, Member},
};

/// What a child does for its app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::master) enum Work {
    /// One of the app's processes: its memory counts to the app's.
    Broker,
    /// Its memory has a limit of its own, which is no affair of `app-memory`.
    Compiler,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Compiler => "compiler",
        })
    }
}

/// Its group, to be ended when it has.
pub(in crate::master) struct Beside(Group);

impl Beside {
    /// Once the child is gone: removes its group. What takes too long is left to its thread.
    pub(in crate::master) async fn ended(self) {
        let _ = timeout(END_TIMEOUT, spawn_blocking(move || drop(self.0))).await;
    }
}

/// Makes a child's group and puts it in, where there is a tree. It goes on without one where that fails or
/// takes too long, which is in the log. To be waited for before it gets its first frame.
///
/// What the app may have is only written where it has no process yet: they know its generation.
pub(in crate::master) async fn put_beside(
    work: Work,
    app: &str,
    limits: AppLimits,
    os_pid: Option<u32>,
) -> Option<Beside> {
    // Those of one app must differ, also from those that have not quite ended.
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let (tree, os_pid) = (tree()?, os_pid?);
    let member = Member {
        app: app.to_owned(),
        name: format!("{work}-{}", NUMBER.fetch_add(1, Relaxed)),
        memory: (work == Work::Broker).then_some(PROCESS_HEADROOM),
        limits: (0, limits),
    };
    let putting = spawn_blocking(move || joined(&tree, &member, os_pid));
    let failure = match timeout(PUT_TIMEOUT, putting).await {
        Ok(Ok(Ok(group))) => return Some(Beside(group)),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(broken)) => broken.to_string(),
        Err(_) => format!("that takes more than {}", humantime::format_duration(PUT_TIMEOUT)),
    };
    tracing::warn!(app, "its {work} goes on without a cgroup of its own: {failure}");
    None
}
