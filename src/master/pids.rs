//! The master's counter of cluster pids. Shared by all apps, so that no pid is ever used twice.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::cluster::Pid;

/// Gives out pids from 1. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pids(Arc<AtomicU64>);

impl Pids {
    /// The next pid; larger than all before.
    pub(crate) fn next(&self) -> Pid {
        Pid(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
