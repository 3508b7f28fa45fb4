//! Starting one process of a generation: what it is told, and what it inherits. Part of `running`; what
//! becomes of it is heard there.

use std::sync::Arc;

use super::Running;
use crate::{
    cluster::{Pid, Role},
    ipc::message::Boot,
    master::{
        authorities::authorities,
        children::{self, Launch},
        state::Event,
    },
};

impl Running {
    pub(super) fn spawn(&mut self, pid: Pid, role: Role, slot: u32, replacement: bool) {
        let processes = self.cluster.processes();
        let Some(process) = processes.iter().find(|process| process.pid == pid).cloned() else { return };
        self.router.added(process.clone());
        let address = if role == Role::Worker { self.front.address() } else { None };
        let app = &self.release.app;
        let broker = self.broker.as_ref().filter(|_| app.is_granted_hosts(role));
        let boot = Boot {
            app: app.clone(),
            process,
            processes,
            address,
            replacement,
            authorities: if broker.is_some() { authorities() } else { vec![] },
            secrets: self.release.secrets.of(role).clone(),
            disk_full: self.disk_full,
        };
        let code = match role {
            Role::Agent => &self.release.agent,
            Role::Worker => &self.release.worker,
        };
        let code = code.as_ref().map(|code| Arc::clone(&code.code));
        let launched = self.front.add(pid, role).and_then(|fds| {
            let broker = broker.map(|broker| broker.add(pid, role)).transpose()?;
            let launch = Launch { boot, code, handoff: fds.handoff, listener: fds.listener, broker };
            children::launch(launch, self.events.clone())
        });
        match launched {
            Ok(child) => {
                self.children.insert(pid, child);
            }
            Err(error) => {
                let reason = format!("it could not be started: {error}");
                tracing::warn!(app = self.release.app.name, %role, slot, %pid, reason, "failed");
                self.forget(pid, &reason);
                self.told.push_back(Event::Exited { pid, reason });
            }
        }
    }
}
