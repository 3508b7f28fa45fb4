//! What `state` is told of processes, and what it says is to be done, done. Part of `running`.

use std::time::Instant;

use super::Running;
use crate::{
    cluster::{Pid, Role, State},
    ipc::message::{Stop, ToChild},
    master::{
        children::Child,
        pace,
        state::{Action, Event, health},
    },
};

impl Running {
    /// Tells `state`, and does what it says.
    pub(in super::super) fn step(&mut self, event: Event) {
        self.told.push_back(event);
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        while let Some(event) = self.told.pop_front() {
            let now = Instant::now();
            if let Event::Failed { pid, reason } = &event {
                let child = self.children.get(pid);
                // What one that is killed still says was its reason already.
                if !child.is_some_and(Child::is_killed) {
                    self.reasons.note(reason);
                }
                if let Some(child) = child {
                    child.accuse(reason);
                }
                tracing::warn!(app = self.release.app.name, %pid, reason, "failed");
            }
            if matches!(event, Event::Retire | Event::Stop | Event::Kill) {
                self.health = None;
            }
            let ready = if let Event::Ready(pid) = event { Some(pid) } else { None };
            let actions = self.cluster.handle(event, now);
            if let Some(pid) = ready {
                self.ready(pid, now);
            }
            self.carry_out(actions);
        }
    }

    /// A process that `state` takes for ready gets questions and connections.
    fn ready(&mut self, pid: Pid, now: Instant) {
        let processes = self.cluster.processes();
        let process = processes.iter().find(|process| process.pid == pid && process.state == State::Ready);
        let Some(process) = process else { return };
        let (app, role, slot) = (&self.release.app.name, process.role, process.slot);
        tracing::info!(app, %role, slot, %pid, "ready");
        if let Some(child) = self.children.get(&pid) {
            pace::keep(app, child.os_pid());
        }
        self.router.ready(pid, now, &mut self.out);
        self.send_out();
        if role == Role::Worker {
            self.check(health::Event::Ready { pid, slot });
            if self.serves {
                self.takes_connections(pid);
            }
        }
    }

    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Spawn { pid, role, slot, replacement } => self.spawn(pid, role, slot, replacement),
                Action::ClusterReady { pid } => {
                    self.router.open(pid, &mut self.out);
                    if self.is_superseded {
                        self.send_out();
                        self.control(pid, &ToChild::Superseded);
                    }
                }
                Action::ProcessesChanged => self.tell_processes(),
                Action::Ready => {
                    self.router.cluster_ready(&mut self.out);
                    self.begin_checks();
                }
                Action::StopChild { pid, within, idle } => {
                    self.draining(pid);
                    self.control(pid, &ToChild::Stop(Stop { within, idle }));
                }
                Action::Kill { pid } => {
                    self.keep_last_lines(pid);
                    self.draining(pid);
                    if let Some(child) = self.children.get_mut(&pid) {
                        child.kill();
                    }
                }
                Action::StartFailed(reason) => self.failure = Some(reason),
                Action::Stopped => self.stopped = true,
            }
            self.send_out();
        }
    }

    fn draining(&mut self, pid: Pid) {
        self.router.draining(pid);
        self.front.draining(pid);
        self.check(health::Event::Gone(pid));
    }
}
