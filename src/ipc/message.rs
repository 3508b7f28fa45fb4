//! THE protocol between the master and its children.
//!
//! ```text
//!   child                                master
//!     | <------------ Boot ---------------- |   what it is, what it loads, what it may do
//!     | ------------- Hello ------------->  |   the protocol, checked first
//!     | ------------- Ready ------------->  |   or StartFailed, and then it exits
//!     | <----- ClusterReady, Processes ---- |
//!     | <- Message, Question, RunTask, ...- |
//!     | -- Send, Ask, Answer, Consumed, ..> |
//!     | <------------ Stop ---------------- |   drain, lifecycle.stop, exit 0
//! ```
//!
//! One stream socket per child, frames as in `codec`: an envelope (one of the enums here, postcard)
//! and, for the variants that say so, data that the master never looks at. EOF on a child's side
//! means that the master is gone: the child exits at once. Connections and listeners travel on
//! another socket, see `handoff`.
//!
//! Variants are added at the end; another meaning of an old one raises [`PROTOCOL`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::blackbox::Request;
use crate::{
    cluster::{Action, AskError, AskTarget, Denials, Pid, Process, Sender, Target},
    manifest::{App, RunOn, Secrets},
    sys::sandbox::Report,
};

/// Raised whenever a frame's meaning changes. Both sides come from one binary, so a mismatch means
/// that the binary was replaced under a running master.
pub const PROTOCOL: u32 = 2;

/// The most bytes of [`ToMaster::Trapped`]'s reason.
pub const MAX_TRAP: usize = 16 * 1024;

/// A question, numbered by who asks it; unique in that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AskId(pub u64);

/// A question, numbered by the master for who answers it; unique in the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QuestionId(pub u64);

/// One run of a task, numbered by the agent that wants it; unique in that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// One health check, numbered by the master; unique in its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckId(pub u64);

/// The first frame that a child gets: everything that it must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// The app, checked.
    pub app: App,
    /// The child itself.
    pub process: Process,
    /// Who else is there already.
    pub processes: Vec<Process>,
    /// The address that its requests come in on, with the real port. None for an agent.
    pub address: Option<std::net::SocketAddr>,
    /// This process fills a place in a cluster that was ready before: its agent does not run
    /// `immediate` schedules again.
    pub replacement: bool,
    /// Who is trusted to say whose a certificate is, each in DER; the usual authorities where there are
    /// none.
    pub authorities: Vec<Vec<u8>>,
    /// What its guest gets as further environment variables. Shows itself nowhere.
    pub secrets: Secrets,
    /// Its folders are read-only, whatever the app says: they have taken too much of the disk (`disk`).
    pub disk_full: bool,
}

/// From the master to a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToChild {
    /// The first frame.
    Boot(Box<Boot>),
    /// Every process of the app is ready; or, in a process that joined later, it is itself. Once.
    ClusterReady,
    /// The list of processes changed.
    Processes(Vec<Process>),
    /// A message. With data. What it takes of the queue is given back with [`ToMaster::Consumed`].
    Message {
        /// Stamped by the master.
        sender: Sender,
        /// Its name.
        action: Action,
    },
    /// Somebody asks; to be answered with [`ToMaster::Answer`]. With data.
    Question {
        /// To be given back.
        question: QuestionId,
        /// Stamped by the master.
        sender: Sender,
        /// Its name.
        action: Action,
        /// The asker waits no longer than this.
        timeout: Duration,
    },
    /// Who was asked by an [`AskTarget::App`]: one [`ToChild::Answered`] follows for each.
    Asked {
        /// The asker's number.
        ask: AskId,
        /// May be empty.
        pids: Vec<Pid>,
    },
    /// An answer, or why there is none. With data when `Ok`.
    Answered {
        /// The asker's number.
        ask: AskId,
        /// Who answered; none where nobody could be asked.
        pid: Option<Pid>,
        /// How it ended.
        outcome: Result<(), AskError>,
    },
    /// Run a task, then say [`ToMaster::TaskDone`]. With the payload as data, when it has one.
    RunTask {
        /// To be given back.
        run: RunId,
        /// What `task.run` is called with.
        name: String,
        /// Is the data a payload, or is there none?
        has_payload: bool,
    },
    /// To the agent: a run that it asked for has ended on every process that it ran on.
    RunEnded {
        /// The agent's number.
        run: RunId,
        /// One for each process that it was given to; empty where no worker was ready.
        outcomes: Vec<TaskOutcome>,
    },
    /// Drain: take nothing new, finish what was accepted, call `lifecycle.stop`, exit 0. May come
    /// again, when there is less time than was thought.
    Stop(Stop),
    /// To the agent: a newer generation keeps the time from now on; begin no scheduled run. It still
    /// serves its own generation's workers until [`ToChild::Stop`].
    Superseded,
    /// To a worker: ask its own guest for this path, as a client would, and say
    /// [`ToMaster::Checked`].
    Check(Check),
    /// To a worker: its generation serves. One that accepts for itself may begin. Once.
    Serve,
    /// The app has sent nearly as much as it may (`message-rate`): let the guest send nothing for so long.
    /// What comes all the same may be dropped.
    Hush {
        /// From its arrival on.
        pause: Duration,
    },
}

/// How a process is to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// SIGKILL comes after that.
    pub within: Duration,
    /// What becomes of connections on which nothing goes on.
    pub idle: Idle,
}

/// What a worker is to ask its guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// To be given back.
    pub check: CheckId,
    /// Of a GET; checked, as the manifest has it.
    pub path: String,
    /// From the request to the end of its response.
    pub timeout: Duration,
}

/// What a worker that stops does with connections on which nothing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Idle {
    /// Close them: there is nobody else to serve them.
    Close,
    /// Keep them open for a while and answer what still comes, as the last response of each: others
    /// go on serving, and a request that is on its way must not be lost.
    Linger,
}

/// How a task ended on one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutcome {
    /// Where it ran.
    pub pid: Pid,
    /// From the start of the call.
    pub elapsed: Duration,
    /// The guest's error, a trap, or the process's end.
    pub result: Result<(), String>,
}

/// From a child to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToMaster {
    /// The first frame.
    Hello {
        /// [`PROTOCOL`] of this child.
        protocol: u32,
    },
    /// The guest's `start` has returned, and the process takes work.
    Ready,
    /// The process can't start, and will exit.
    StartFailed {
        /// For the user, in one line or more.
        reason: String,
    },
    /// A message to route. With data.
    Send {
        /// Whom for.
        to: Target,
        /// Its name.
        action: Action,
    },
    /// A question to route. With data.
    Ask {
        /// Comes back with the answer.
        ask: AskId,
        /// Whom for.
        to: AskTarget,
        /// Its name.
        action: Action,
        /// Past it the asker no longer waits.
        timeout: Duration,
    },
    /// An answer. With data when `Ok`.
    Answer {
        /// As it came.
        question: QuestionId,
        /// How it ended.
        outcome: Result<(), AskError>,
    },
    /// The guest has taken so many messages off this process's queue.
    Consumed {
        /// Messages.
        messages: u64,
        /// What they took of it, in bytes, each as [`crate::cluster::queued_bytes`] has it.
        bytes: u64,
    },
    /// From the agent: run a schedule's task there; [`ToChild::RunEnded`] follows. With the payload
    /// as data, when it has one. [`RunOn::Agent`] is the agent's own affair and is refused.
    RunTask {
        /// Comes back when it has ended.
        run: RunId,
        /// What `task.run` is called with.
        name: String,
        /// Where.
        on: RunOn,
        /// Is the data a payload, or is there none?
        has_payload: bool,
    },
    /// A task that the master gave it has ended.
    TaskDone {
        /// As it came.
        run: RunId,
        /// From the start of the call.
        elapsed: Duration,
        /// The guest's error or trap.
        result: Result<(), String>,
    },
    /// The guest trapped, and a fresh instance takes over: for a crash report.
    Trapped {
        /// Why, and the guest's functions below it; cut at [`MAX_TRAP`].
        reason: String,
        /// What was in hand.
        requests: Vec<Request>,
    },
    /// The process should be replaced; it goes on until it is told to stop.
    Recycle {
        /// For people, such as `served 10000 requests`.
        reason: String,
    },
    /// The process can't go on, and will exit: what its exit code does not say.
    Ends {
        /// For people, in one line or more.
        reason: String,
    },
    /// What became of a [`ToChild::Check`].
    Checked {
        /// As it came.
        check: CheckId,
        /// The response's status, or why there was none.
        result: Result<u16, String>,
    },
    /// Requests that a process without a broker denied its guest, since the last time; at most once a
    /// second.
    Denied(Denials),
    /// What the process has shut itself into. Once, after Hello.
    Sandboxed(Report),
}
