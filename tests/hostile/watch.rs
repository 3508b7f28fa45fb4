//! What holds for every attack: a second tenant answers all through it, and the master is afterwards what it
//! was before.

use std::{cell::Cell, net::SocketAddr};

use crate::support::{Cluster, Compared, OsProcess, eventually};

/// How much more memory the master may have, in MiB, when what was under way is through: what its allocator
/// keeps.
const MORE_MEMORY: u64 = 16;

/// Of one master and the app `good`.
pub(super) struct Watch {
    master: OsProcess,
    good: SocketAddr,
    fds: usize,
    memory: u64,
}

impl Watch {
    /// As it is before anything happens.
    pub(super) fn of(cluster: &Cluster) -> Self {
        Self::new(cluster.master(), cluster.addr_of("good"))
    }

    pub(super) fn new(master: OsProcess, good: SocketAddr) -> Self {
        let (fds, memory) = (master.fds(), master.memory());
        Self { master, good, fds, memory }
    }

    /// Does it again and again while the other app is measured.
    pub(super) async fn through(&self, what: &str, mut attack: impl AsyncFnMut()) {
        let mut compared = Compared::default();
        while compared.goes_on(what) {
            compared.alone(self.good).await;
            let is_over = Cell::new(false);
            let measure = async {
                compared.beside(self.good).await;
                is_over.set(true);
            };
            let trouble = async {
                while !is_over.get() {
                    attack().await;
                }
            };
            tokio::join!(measure, trouble);
        }
        println!("beside {what}: {compared}");
    }

    /// It lives, has the fds that it had, not much more memory, and no child that it has not waited for.
    pub(super) async fn is_unchanged(&self, after: &str) {
        assert!(self.master.lives(), "after {after}");
        eventually(&format!("the fds are {} again after {after}", self.fds), async || {
            self.master.fds() == self.fds
        })
        .await;
        eventually(&format!("no zombie is left after {after}"), async || self.master.zombies() == 0).await;
        let more = || self.master.memory().saturating_sub(self.memory) >> 10;
        let at_first = more();
        eventually(&format!("the memory is as before {after}: {at_first} MiB more"), async || {
            more() < MORE_MEMORY
        })
        .await;
        println!("after {after}: {} fds, {at_first} and then {} MiB more", self.fds, more());
    }
}
