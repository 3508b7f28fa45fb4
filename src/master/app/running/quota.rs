//! One generation's part in the limits of its whole app (`app::quota`): which processes it has, and what
//! becomes of them when the app takes too much.

use std::path::PathBuf;

use super::Running;
use crate::{
    cluster::{Pid, Role},
    master::{broker::Broker, children::Child, state::Event, taken::Member},
};

impl Running {
    /// Its processes, its broker's too, with the system's pids.
    pub(in super::super) fn os_pids(&self) -> impl Iterator<Item = (Member, u32)> {
        let children = self.children.iter().map(|(pid, child)| (Member::Process(*pid), child.os_pid()));
        let broker = self.broker.as_ref().and_then(Broker::os_pid);
        let broker = broker.map(|os_pid| (Member::Broker(self.generation), os_pid));
        children.filter(|(_, os_pid)| *os_pid > 0).chain(broker)
    }

    /// The folders that its guests may write to.
    pub(in super::super) fn writable_folders(&self) -> Vec<PathBuf> {
        self.release.app.writable_folders().into_iter().map(PathBuf::from).collect()
    }

    /// Kills and replaces one, where it is its own.
    pub(in super::super) fn kill(&mut self, member: Member, reason: &str) {
        match (member, &self.broker) {
            (Member::Process(pid), _) => self.fail(pid, reason),
            (Member::Broker(generation), Some(broker)) if generation == self.generation => {
                broker.kill(reason);
                // Of a process its end says so.
                self.reasons.note(reason);
            }
            (Member::Broker(_), _) => {}
        }
    }

    fn fail(&mut self, pid: Pid, reason: &str) {
        if self.has(pid) {
            self.step(Event::Failed { pid, reason: reason.to_owned() });
        }
    }

    /// Folders are read-only from now on, or writable again, for processes that start.
    pub(in super::super) fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
    }

    /// Replaces those that were started when it was otherwise, ready first.
    pub(in super::super) fn replace_outdated(&mut self, reason: &str) {
        let full = self.disk_full;
        for pid in self.with_folders(|child| child.disk_full() != full) {
            if self.cluster.takes_recycle(pid) {
                tracing::warn!(app = self.release.app.name, %pid, reason, "is to be replaced");
                self.step(Event::Recycle { pid, reason: reason.to_owned() });
            }
        }
    }

    /// Kills and replaces those that can still write.
    pub(in super::super) fn kill_writers(&mut self, reason: &str) {
        for pid in self.with_folders(|child| !child.disk_full() && !child.is_killed()) {
            self.fail(pid, reason);
        }
    }

    fn with_folders(&self, which: impl Fn(&Child) -> bool) -> Vec<Pid> {
        let writes = |role: Role| {
            let mut of = self.release.app.components().filter(|(of, _)| *of == role);
            of.any(|(_, component)| component.capabilities.folders.iter().any(|folder| folder.writable))
        };
        let [agent, worker] = [Role::Agent, Role::Worker].map(writes);
        let wanted = |(_, child): &(&Pid, &Child)| {
            which(child)
                && match child.role() {
                    Role::Agent => agent,
                    Role::Worker => worker,
                }
        };
        self.children.iter().filter(wanted).map(|(pid, _)| *pid).collect()
    }
}
