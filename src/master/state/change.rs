//! What changes while an app runs: a process is replaced in order, there are more workers or fewer.
//! Part of `state`; pure.

use std::time::Instant;

use super::{Action, Cluster, Phase, Slot};
use crate::cluster::{Pid, Role};

impl Cluster {
    /// Would [`super::Event::Recycle`] make a difference?
    pub(crate) fn takes_recycle(&self, pid: Pid) -> bool {
        self.phase == Phase::Running && self.slots.iter().any(|slot| slot.takes_recycle(pid))
    }

    pub(super) fn recycle(&mut self, pid: Pid, reason: &str, now: Instant, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        for slot in &mut self.slots {
            slot.wants_recycle(pid, reason, now, self.rng.f64());
        }
        self.respawn_and_tell(now, actions);
    }

    pub(super) fn scale(&mut self, workers: u32, now: Instant, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        self.shape.workers = workers;
        let of_workers = |slot: &&mut Slot| slot.role == Role::Worker;
        for slot in self.slots.iter_mut().filter(of_workers).filter(|slot| slot.slot >= workers) {
            if !slot.is_retired() {
                actions.extend(slot.retire(self.shape.drain_timeout, now));
            }
        }
        for number in 0..workers {
            let place = self.slots.iter_mut().filter(of_workers).find(|slot| slot.slot == number);
            match place {
                Some(slot) if slot.is_retired() => slot.open(now),
                Some(_) => {}
                None => {
                    let mut slot = Slot::new(Role::Worker, number, self.shape.generation);
                    slot.open(now);
                    self.slots.push(slot);
                }
            }
        }
        self.slots.sort_by_key(|slot| (slot.role, slot.slot));
        self.respawn(now, actions);
        if !actions.is_empty() {
            actions.push(Action::ProcessesChanged);
        }
    }
}
