//! The master's side of a child: its link, its exit. `app` launches them and hears what they do.
//!
//! ```text
//!   read (task):  link -> Hello checked -> ChildEvent     live (task): waits for the exit, kills
//! ```
//!
//! Everything that a child does ends in one channel, and each child's last event is
//! [`Happening::Exited`]. This knows no state machine and no routes. What a child sends is hostile
//! until checked: a frame that is not one, or comes when it must not, is [`Happening::Failed`].

mod hear;
mod life;
mod manners;

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use self::{life::Life, manners::Manners};
use super::{
    crash::Who, groups, isolation, native::Native, os_pid::OsPid, status::Sandbox, turns::Share,
    witness::Witness,
};
use crate::{
    cluster::{Pid, Role},
    ipc::{
        blackbox,
        codec::{HEADER, MAX_ENVELOPE},
        counters::{self, Snapshot},
        link::{self, FRAME, SendError, Sender},
        message::{Boot, ToChild, ToMaster},
    },
    log,
    sys::{
        inherit::{
            BLACKBOX_FD, BROKER_FD, COMPONENT_FD, CONTROL_FD, COUNTERS_FD, HANDOFF_FD, HEARTBEAT_FD,
            LISTENER_FD, LOG_FD,
        },
        spawn::{Spawn, spawn},
    },
};

/// Events that wait for the app; past it, children's sockets fill up, and their sends are refused.
pub(crate) const MAX_EVENTS: usize = 64;

/// A link's queue holds this many times the app's `queue-size`: the router bounds messages,
/// questions and tasks to one each, and answers share the third.
const QUEUES: usize = 3;

/// What a child did.
#[derive(Debug)]
pub(crate) struct ChildEvent {
    /// Which child.
    pub(crate) pid: Pid,
    /// What.
    pub(crate) what: Happening,
}

/// What a child can do.
#[derive(Debug)]
pub(crate) enum Happening {
    /// It said Ready. Once.
    Ready,
    /// It said that it can't start, or broke the protocol. Its exit is still to come.
    Failed(String),
    /// A frame for the router.
    Frame(ToMaster, Bytes),
    /// It is gone and reaped. The last.
    Exited(String),
}

/// Where what an app's children do goes, and the app's share of the master's time. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    to: mpsc::Sender<ChildEvent>,
    share: Share,
}

impl Events {
    pub(crate) fn new(to: mpsc::Sender<ChildEvent>, share: Share) -> Self {
        Self { to, share }
    }

    /// A frame with so many bytes of data was read or written for this app.
    pub(crate) fn spend(&self, data: usize) {
        self.share.spend(FRAME + data);
    }

    /// Waits until it is this app's turn.
    pub(crate) async fn turn(&self) {
        self.share.turn().await;
    }

    /// Waits until there is room.
    pub(crate) async fn send(&self, event: ChildEvent) -> Result<(), mpsc::error::SendError<ChildEvent>> {
        self.to.send(event).await
    }
}

/// What a child is started with.
pub(crate) struct Launch {
    /// The first frame.
    pub(crate) boot: Boot,
    /// Its native code; a copy is inherited.
    pub(crate) code: Option<Arc<Native>>,
    /// Its end of the handoff socket.
    pub(crate) handoff: Option<OwnedFd>,
    /// The listener, where it accepts for itself.
    pub(crate) listener: Option<OwnedFd>,
    /// Its end of its socket to the broker.
    pub(crate) broker: Option<OwnedFd>,
}

/// A child that runs.
pub(crate) struct Child {
    os_pid: OsPid,
    sender: Sender<ToChild>,
    kill: Arc<Notify>,
    killed: bool,
    since: Instant,
    counters: counters::Reader,
    witness: Arc<Witness>,
    role: Role,
    disk_full: bool,
}

impl Child {
    /// What it is for.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Was it started with read-only folders?
    pub(crate) fn disk_full(&self) -> bool {
        self.disk_full
    }

    /// The operating system's pid; 0 as long as it has none.
    pub(crate) fn os_pid(&self) -> u32 {
        self.os_pid.get().unwrap_or_default()
    }

    /// Since it was to be started.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// What it counts, as of now.
    pub(crate) fn counts(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Is it being killed? What it still sends is of no interest.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed
    }

    /// Queues a frame that may be refused.
    pub(crate) fn send(&self, frame: &ToChild, data: &Bytes) -> Result<(), SendError> {
        self.sender.try_share(frame, data)
    }

    /// Queues a frame that must not be lost. `Full` means that the child is stuck.
    pub(crate) fn control(&self, frame: &ToChild) -> Result<(), SendError> {
        self.sender.send_control(frame, &[])
    }

    /// What it has shut itself into, as it says. `None` as long as it has not said.
    pub(crate) fn sandbox(&self) -> Option<Sandbox> {
        self.witness.sandbox()
    }

    /// What it logged last, the oldest line first. Also when it is gone.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.witness.last_lines()
    }

    /// It is to be killed for this, which its crash report says. The first reason counts.
    pub(crate) fn accuse(&self, reason: &str) {
        self.witness.accuse(reason);
    }

    /// SIGKILL. Its exit comes as an event.
    pub(crate) fn kill(&mut self) {
        self.killed = true;
        self.kill.notify_one();
    }
}

/// Starts a child. From then on it speaks through `events`.
pub(crate) fn launch(launch: Launch, events: Events) -> io::Result<Child> {
    let Launch { boot, code, handoff, listener, broker } = launch;
    let (pid, limits) = (boot.process.pid, boot.app.limits);
    let code = code.map(|code| code.try_clone()).transpose()?;
    let (stream, theirs) = link::pair()?;
    let (heartbeat, their_heartbeat) = link::pair()?;
    let blackbox = blackbox::create()?;
    let their_blackbox = blackbox.try_clone()?;
    let (counters, their_counters) = counters::create()?;
    let whose = log::Whose::guest(&boot.app.name, boot.process.role, boot.process.slot);
    let fds: Vec<(OwnedFd, RawFd)> = [
        (Some(log::collect(whose, limits.log_rate)?), LOG_FD),
        (Some(theirs), CONTROL_FD),
        (code, COMPONENT_FD),
        (handoff, HANDOFF_FD),
        (listener, LISTENER_FD),
        (Some(their_heartbeat), HEARTBEAT_FD),
        (Some(their_blackbox), BLACKBOX_FD),
        (Some(their_counters), COUNTERS_FD),
        (broker, BROKER_FD),
    ]
    .into_iter()
    .filter_map(|(fd, number)| Some((fd?, number)))
    .collect();
    let (role, disk_full) = (boot.process.role, boot.disk_full);
    let manners = Manners::new(role);
    let title = format!("hatchery: {role} {}/{}", boot.app.name, boot.process.slot);
    let sandbox = Some(isolation::guest(&boot));
    let spawning = spawn(Spawn { title, args: super::arguments::of(&role.to_string()), fds, sandbox });
    let os_pid = OsPid::default();
    let putting = groups::put(&boot, os_pid.clone());
    let options = link::Options {
        queue: limits.queue_size.saturating_mul(QUEUES),
        max_frame: limits.message_size + MAX_ENVELOPE + HEADER,
    };
    let (reader, sender, writer) = link::split(stream, options);
    let witness = Arc::new(Witness::new(Who::new(&boot, os_pid.clone()), blackbox));
    let (app, slot, replacement) = (boot.app.name.clone(), boot.process.slot, boot.replacement);
    let boot = sender.send_control(&ToChild::Boot(Box::new(boot)), &[]);
    boot.map_err(|error| io::Error::other(format!("cannot queue its first frame: {error}")))?;
    let kill = Arc::new(Notify::new());
    let child = Child {
        os_pid: os_pid.clone(),
        sender,
        kill: Arc::clone(&kill),
        killed: false,
        since: Instant::now(),
        counters,
        witness: Arc::clone(&witness),
        role,
        disk_full,
    };
    let life = Life {
        pid,
        reader,
        writer,
        manners,
        heartbeat,
        hang_timeout: limits.hang_timeout,
        events,
        witness,
        kill,
        os_pid,
    };
    tokio::spawn(life.live(
        spawning,
        move |os_pid| tracing::info!(app, %role, slot, %pid, os_pid, replacement, "started"),
        putting,
    ));
    Ok(child)
}

#[cfg(test)]
mod tests;
