//! What the master sends, given to whom it is for.

use std::{process, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Cluster, asks::Heard, process::MASTER_GONE};
use crate::{
    cluster::AskError,
    host::{Guest, Handle, Job, Message, Messenger as _, Wasi},
    ipc::{
        link::Reader,
        message::{Check, QuestionId, RunId, Stop, TaskOutcome, ToChild, ToMaster},
    },
};

/// What a role must act on itself.
#[derive(Debug)]
pub enum Event {
    /// Every process of the app is ready, or this one has joined. The guest has been told.
    ClusterReady,
    /// A run that this agent asked for has ended.
    RunEnded(RunId, Vec<TaskOutcome>),
    /// Drain, and go.
    Stop(Stop),
    /// A newer generation's agent keeps the time.
    Superseded,
    /// Ask the guest for this path; [`ToMaster::Checked`] is due by then.
    Check(Check),
    /// Connections may be accepted.
    Serve,
}

/// Frames from the master.
pub struct Inbox {
    reader: Reader<ToChild>,
    cluster: Arc<Cluster>,
    guest: Option<(Handle, Arc<Guest>)>,
}

impl Inbox {
    pub(super) fn new(reader: Reader<ToChild>, cluster: Arc<Cluster>) -> Self {
        Self { reader, cluster, guest: None }
    }

    /// From now on, messages, questions and tasks go to this instance.
    pub fn deliver_to(&mut self, handle: Handle, guest: Arc<Guest>) {
        self.guest = Some((handle, guest));
    }

    /// Hands frames on until one is for the role. When the master is gone, or has broken the
    /// protocol, the process ends here.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.reader.next().await {
                Ok(Some((frame, data))) => {
                    if let Some(event) = self.hand_on(frame, data) {
                        return event;
                    }
                }
                Ok(None) => process::exit(MASTER_GONE),
                Err(error) => {
                    tracing::error!("the master's frames can't be read: {error}");
                    process::exit(MASTER_GONE);
                }
            }
        }
    }

    /// Hears the master while a guest starts, which may ask already.
    ///
    /// # Errors
    ///
    /// The start's own; the master said stop meanwhile.
    pub async fn while_starting(
        &mut self,
        start: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let stopped = async { while !matches!(self.next().await, Event::Stop(_)) {} };
        tokio::select! {
            started = start => started,
            () = stopped => anyhow::bail!("stopped before it was ready"),
        }
    }

    fn hand_on(&self, frame: ToChild, data: Bytes) -> Option<Event> {
        match frame {
            ToChild::Boot(_) => tracing::error!("the master sent a second Boot"),
            ToChild::ClusterReady => {
                self.job(Job::ClusterReady);
                return Some(Event::ClusterReady);
            }
            ToChild::Processes(list) => {
                if self.cluster.set_processes(list.clone()) {
                    self.job(Job::ProcessesChanged(list));
                }
            }
            ToChild::Message { sender, action } => {
                let message = Message { action, data, sender };
                match &self.guest {
                    Some((handle, guest)) if guest.receives() => handle.send(Job::Message(message)),
                    // Nobody to take it: its room in the queue is free again.
                    _ => self.cluster.consumed(message.queued_bytes()),
                }
            }
            ToChild::Question { question, sender, action, timeout } => {
                self.question(question, Message { action, data, sender }, timeout);
            }
            ToChild::Asked { ask, pids } => self.cluster.heard(ask, Heard::Asked(pids)),
            ToChild::Answered { ask, pid, outcome } => {
                self.cluster.heard(ask, Heard::Answered(pid, outcome.map(|()| data)));
            }
            ToChild::RunTask { run, name, has_payload } => {
                self.task(run, name, has_payload.then_some(data));
            }
            ToChild::RunEnded { run, outcomes } => return Some(Event::RunEnded(run, outcomes)),
            ToChild::Stop(stop) => return Some(Event::Stop(stop)),
            ToChild::Superseded => return Some(Event::Superseded),
            ToChild::Serve => return Some(Event::Serve),
            ToChild::Check(check) => return Some(Event::Check(check)),
            ToChild::Hush { pause } => self.cluster.hush(pause),
        }
        None
    }

    fn job(&self, job: Job) {
        if let Some((handle, _)) = &self.guest {
            handle.send(job);
        }
    }

    fn question(&self, id: QuestionId, question: Message, timeout: Duration) {
        let cluster = self.cluster.clone();
        let answer = move |outcome: Result<Bytes, AskError>| {
            let outcome = outcome.and_then(|data| cluster.fitting(data));
            let data = outcome.clone().unwrap_or_default();
            cluster.tell_with(&ToMaster::Answer { question: id, outcome: outcome.map(|_| ()) }, &data);
        };
        let Some((handle, guest)) = self.guest.as_ref().filter(|(_, guest)| guest.responds()) else {
            return answer(Err(AskError::NoResponder));
        };
        if guest.wasi() == Wasi::P2 && question.sender.pid == self.cluster.pid() {
            // It could only wait for itself until the timeout.
            let why = "a WASI 0.2 instance is blocked while it asks, and can't answer its own question";
            return answer(Err(AskError::Failed(why.to_owned())));
        }
        let (reply, answered) = tokio::sync::oneshot::channel();
        handle.send(Job::Question { question, reply });
        tokio::spawn(async move {
            let ended = || Err(AskError::Failed("the instance ended before it answered".to_owned()));
            // Past it nobody waits; a question that the guest has not begun is then left out.
            match tokio::time::timeout(timeout, answered).await {
                Ok(answered) => answer(answered.unwrap_or_else(|_| ended())),
                Err(_) => answer(Err(AskError::Timeout)),
            }
        });
    }

    fn task(&self, run: RunId, name: String, payload: Option<Bytes>) {
        let cluster = self.cluster.clone();
        let Some((handle, _)) = &self.guest else {
            let result = Err("the process has no component to run it".to_owned());
            return cluster.tell(&ToMaster::TaskDone { run, elapsed: Duration::ZERO, result });
        };
        let (reply, ended) = tokio::sync::oneshot::channel();
        handle.send(Job::Task { name, payload, reply });
        tokio::spawn(async move {
            let (elapsed, result) = ended.await.unwrap_or_else(|_| {
                (Duration::ZERO, Err("the instance ended before the task did".to_owned()))
            });
            cluster.tell(&ToMaster::TaskDone { run, elapsed, result });
        });
    }
}
