//! How one generation's frames get onto its children's links. It says who could not be sent to, and
//! decides nothing.

use super::Running;
use crate::{
    cluster::Pid,
    ipc::{link::SendError, message::ToChild},
    master::{router::Outgoing, state::Event},
};

/// Why a child that does not read is killed.
const STUCK: &str = "does not read its control socket";

impl Running {
    pub(super) fn tell_processes(&mut self) {
        let frame = ToChild::Processes(self.cluster.processes());
        let pids: Vec<Pid> = self.children.keys().copied().collect();
        for pid in pids {
            self.control(pid, &frame);
        }
    }

    /// A child that takes no control frame is stuck, and is killed.
    pub(super) fn control(&mut self, pid: Pid, frame: &ToChild) {
        let Some(child) = self.children.get(&pid) else { return };
        match child.control(frame) {
            // Its exit is on its way.
            Ok(()) | Err(SendError::Closed) => {}
            Err(SendError::Full | SendError::TooLong) => {
                self.told.push_back(Event::Failed { pid, reason: STUCK.to_owned() });
            }
        }
    }

    /// Puts the router's frames on their links.
    pub(super) fn send_out(&mut self) {
        while !self.out.is_empty() {
            let mut out = std::mem::take(&mut self.out);
            for outgoing in out.drain(..) {
                self.send_one(outgoing);
            }
            if self.out.is_empty() {
                // The room is used again.
                self.out = out;
            }
        }
    }

    fn send_one(&mut self, outgoing: Outgoing) {
        let Outgoing { to, frame, data } = &outgoing;
        let Some(child) = self.children.get(to) else { return };
        // Copied for each of those who get it.
        self.events.spend(data.len());
        let sent = match frame {
            ToChild::Message { .. }
            | ToChild::Question { .. }
            | ToChild::Answered { .. }
            | ToChild::RunTask { .. } => child.send(frame, data),
            ToChild::Boot(_)
            | ToChild::ClusterReady
            | ToChild::Processes(_)
            | ToChild::Asked { .. }
            | ToChild::RunEnded { .. }
            | ToChild::Stop(_)
            | ToChild::Superseded
            | ToChild::Check(_)
            | ToChild::Serve
            | ToChild::Hush { .. } => return self.control(*to, frame),
        };
        if sent.is_err() {
            self.router.refused(outgoing, &mut self.out);
        }
    }
}
