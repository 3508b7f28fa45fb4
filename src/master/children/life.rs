//! One child's task in the master: from the moment that a process is asked for to the end of the one that came.
//! Part of `children`, which starts it.
//!
//! ```text
//!   asked for -> started: its frames are read -> in its cgroup: it gets its first frame, and beats -> gone
//! ```
//!
//! What it is given time for begins when it can use it: the wait for the spawner and for the cgroup is the
//! master's own.

use std::{io, process::ExitStatus, sync::Arc, time::Duration};

use tokio::{
    net::UnixStream,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{ChildEvent, Events, Happening, hear::read, manners::Manners};
use crate::{
    cluster::Pid,
    ipc::{
        link::{Reader, Writer},
        message::ToMaster,
    },
    master::{exit, groups::Capped, heartbeat, os_pid::OsPid, witness::Witness},
    sys::spawn::Child as Process,
};

/// A child that has closed its control socket must have ended by then.
const LINGER: Duration = Duration::from_secs(2);

/// How long what a dead child had sent is still read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the task has of the child.
pub(super) struct Life {
    pub(super) pid: Pid,
    pub(super) reader: Reader<ToMaster>,
    pub(super) writer: Writer,
    pub(super) manners: Manners,
    /// Our end of its heartbeat socket.
    pub(super) heartbeat: UnixStream,
    pub(super) hang_timeout: Duration,
    pub(super) events: Events,
    pub(super) witness: Arc<Witness>,
    /// It is to be killed.
    pub(super) kill: Arc<Notify>,
    /// Set here.
    pub(super) os_pid: OsPid,
}

impl Life {
    /// All of it: `spawning` gives the process, `says` hears that it is there, `putting` gives its cgroup, once
    /// it is.
    pub(super) async fn live(
        self,
        spawning: impl Future<Output = io::Result<Process>>,
        says: impl FnOnce(Option<u32>),
        putting: impl Future<Output = Option<Capped>>,
    ) {
        let Self { pid, reader, writer, manners, heartbeat, hang_timeout, events, witness, kill, os_pid } =
            self;
        let process = match spawning.await {
            Ok(process) => process,
            Err(error) => {
                let what = Happening::Exited(format!("it could not be started: {error}"));
                let _ = events.send(ChildEvent { pid, what }).await;
                return;
            }
        };
        os_pid.set(process.id());
        says(process.id());
        let reading = tokio::spawn(read(pid, reader, manners, events.clone(), Arc::clone(&witness)));
        // Before its first frame: until then it runs nothing of the guest's.
        let group = putting.await;
        if let Some(Capped::In(place)) = &group
            && let Some(bytes) = place.bytes()
        {
            witness.capped(bytes);
        }
        let writing = tokio::spawn(writer.run());
        let beating = tokio::spawn(beat(pid, heartbeat, hang_timeout, events.clone(), Arc::clone(&witness)));
        let end = watch(process, reading, &kill).await;
        writing.abort();
        beating.abort();
        let in_order = end.status.as_ref().is_ok_and(ExitStatus::success);
        // Its folder goes before the app may end.
        let out_of_memory = match group {
            Some(group) => group.ended().await.filter(|_| !end.killed),
            None => None,
        };
        let reason = out_of_memory.unwrap_or_else(|| exit::reason(end.status));
        let reason = witness.exited(reason, in_order, end.killed);
        let _ = events.send(ChildEvent { pid, what: Happening::Exited(reason) }).await;
    }
}

/// How a child ended.
pub(super) struct End {
    pub(super) status: io::Result<ExitStatus>,
    /// By the master.
    pub(super) killed: bool,
}

/// Waits for the exit and for what the child had sent before it.
pub(super) async fn watch(mut process: Process, mut reading: JoinHandle<()>, kill: &Notify) -> End {
    let mut killed = false;
    let mut ends_by = None;
    let status = loop {
        tokio::select! {
            status = process.wait() => break status,
            () = kill.notified() => {
                killed = true;
                let _ = process.start_kill();
            }
            _ = &mut reading, if ends_by.is_none() => ends_by = Some(Instant::now() + LINGER),
            () = async { if let Some(at) = ends_by { sleep_until(at).await } }, if ends_by.is_some() => {
                let _ = process.start_kill();
                ends_by = Some(Instant::now() + LINGER);
            }
        }
    };
    if ends_by.is_none() && timeout(LAST_WORDS, &mut reading).await.is_err() {
        reading.abort();
    }
    End { status, killed }
}

/// Says so when the child hangs.
async fn beat(pid: Pid, socket: UnixStream, hang_timeout: Duration, events: Events, witness: Arc<Witness>) {
    let reason = heartbeat::watch(socket, hang_timeout).await;
    witness.accuse(&reason);
    let _ = events.send(ChildEvent { pid, what: Happening::Failed(reason) }).await;
}
