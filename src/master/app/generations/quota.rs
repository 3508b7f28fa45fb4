//! What is looked at for the limits of the whole app, and what is done. `app::quota` judges.

use std::time::Instant;

use super::{Generations, Running};
use crate::master::{
    app::quota::{Act, enough},
    taken::{Seen, Wanted},
};

impl Generations {
    /// Is there anything to be looked at?
    pub(in super::super) fn is_watched(&self) -> bool {
        let app = &self.serving.release.app;
        app.limits.app_memory.is_some() || !app.writable_folders().is_empty()
    }

    /// What is to be looked at now.
    pub(in super::super) fn look(&self, now: Instant) -> Option<Wanted> {
        let mut wanted = Wanted::default();
        if self.serving.release.app.limits.app_memory.is_some() {
            wanted.processes = self.all().flat_map(Running::os_pids).collect();
        }
        if self.watch.is_walk_due(now) {
            wanted.folders = self.serving.writable_folders();
            wanted.writers = self.all().flat_map(Running::os_pids).map(|(_, os_pid)| os_pid).collect();
            wanted.enough = enough(self.serving.release.app.limits.disk);
        }
        (wanted != Wanted::default()).then_some(wanted)
    }

    /// It has been looked at.
    pub(in super::super) fn seen(&mut self, seen: &Seen) {
        if self.stopping.is_some() {
            return;
        }
        let limits = self.serving.release.app.limits;
        let acts = self.watch.seen(seen, &limits, Instant::now());
        let full = self.watch.is_full();
        self.all_mut().for_each(|generation| generation.set_disk_full(full));
        for act in acts {
            match act {
                Act::Kill(member, why) => self.all_mut().for_each(|generation| generation.kill(member, &why)),
                Act::Replace(why) => self.all_mut().for_each(|generation| generation.replace_outdated(&why)),
                Act::KillWriters(why) => self.all_mut().for_each(|generation| generation.kill_writers(&why)),
            }
        }
    }
}
