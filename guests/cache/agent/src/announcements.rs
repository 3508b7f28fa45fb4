//! Who of the workers has announced itself. By pid, so that the count stays right across restarts.

use hatchery_sdk::cluster::{self, Pid, Role, Sender, State};
use hatchery_sdk::{Result, duration_of_env, send_random, sleep, spawn};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// All of it is about processes that are there: who is gone is forgotten at the next look.
#[derive(Default)]
pub(crate) struct Announcements {
    deadline: Cell<Duration>,
    announced: RefCell<BTreeSet<Pid>>,
    /// Those whose deadline is running or has passed.
    watched: RefCell<BTreeSet<Pid>>,
    /// The workers that were complete when that was last told.
    told: RefCell<BTreeSet<Pid>>,
}

impl Announcements {
    /// Reads `ANNOUNCE_DEADLINE`.
    pub(crate) fn configure(&self) -> Result<()> {
        self.deadline.set(duration_of_env("ANNOUNCE_DEADLINE", DEFAULT_DEADLINE)?);
        Ok(())
    }

    /// A worker announced itself, perhaps again.
    pub(crate) fn heard(&'static self, sender: Sender) {
        if sender.role == Role::Worker {
            self.announced.borrow_mut().insert(sender.pid);
            self.look();
        }
    }

    /// Compares with the processes there are.
    pub(crate) fn look(&'static self) {
        let workers = workers();
        let is_there = |pid: &Pid| workers.contains_key(pid);
        self.announced.borrow_mut().retain(is_there);
        self.watched.borrow_mut().retain(is_there);
        for (&pid, worker) in &workers {
            if worker.state == State::Ready && self.watched.borrow_mut().insert(pid) {
                spawn(self.watch(pid, worker.slot));
            }
        }
        self.tell(workers.into_keys().collect());
    }

    /// Tells one worker when all have announced themselves, unless they are only what is left of
    /// those it was told of already.
    fn tell(&self, workers: BTreeSet<Pid>) {
        let complete = !workers.is_empty() && workers.is_subset(&self.announced.borrow());
        if !complete || workers.is_subset(&self.told.borrow()) {
            return;
        }
        match send_random("all-workers-ready", &workers.len()) {
            Ok(()) => {
                self.told.replace(workers);
            }
            Err(reason) => eprintln!("can't tell that all workers are ready: {reason}"),
        }
    }

    async fn watch(&self, pid: Pid, slot: u32) {
        sleep(self.deadline.get()).await;
        if workers().contains_key(&pid) && !self.announced.borrow().contains(&pid) {
            let deadline = self.deadline.get();
            println!("worker slot={slot} pid={pid} has not announced itself within {deadline:?}");
        }
    }
}

/// Those that are or will be ready. One that is draining needs no announcement any more.
fn workers() -> BTreeMap<Pid, cluster::Process> {
    cluster::processes()
        .into_iter()
        .filter(|p| p.role == Role::Worker && p.state != State::Draining)
        .map(|p| (p.pid, p))
        .collect()
}
