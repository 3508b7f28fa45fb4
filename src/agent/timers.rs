//! The agent's timers: the [`Scheduler`] on real clocks, its runs given to the master or to the
//! agent's own guest, and the schedule log.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::scheduler::{Due, Index, Now, Scheduler};
use crate::{
    child::Cluster,
    host::{Handle, Job},
    ipc::message::{Boot, RunId, TaskOutcome, ToMaster},
    manifest::{RunOn, Schedule},
};

/// The most runs of an app that have not ended.
const MAX_RUNS: usize = 1024;

/// An app's schedules on their clocks.
pub(super) struct Timers {
    schedules: Vec<Schedule>,
    immediate: bool,
    scheduler: Option<Scheduler>,
    superseded: bool,
    cluster: Arc<Cluster>,
    guest: Option<Handle>,
    last: u64,
    runs: HashMap<RunId, Index>,
    /// Runs of the agent's own guest, as they end.
    own: (mpsc::UnboundedSender<Ended>, mpsc::UnboundedReceiver<Ended>),
}

type Ended = (RunId, TaskOutcome);

impl Timers {
    pub(super) fn new(boot: &Boot, cluster: Arc<Cluster>, guest: Option<Handle>) -> Self {
        Self {
            schedules: boot.app.schedules.clone(),
            // After a restart of the agent they have run already.
            immediate: !boot.replacement,
            scheduler: None,
            superseded: false,
            cluster,
            guest,
            last: 0,
            runs: HashMap::new(),
            own: mpsc::unbounded_channel(),
        }
    }

    /// The cluster is ready: timers begin.
    pub(super) fn start(&mut self) {
        if self.scheduler.is_some() || self.superseded {
            return;
        }
        match Scheduler::start(&self.schedules, self.immediate, Now::read()) {
            Ok((scheduler, due)) => {
                self.scheduler = Some(scheduler);
                self.begin(due);
            }
            Err(error) => tracing::error!("schedules can't start: {error:#}"),
        }
    }

    /// Nothing is due any more; what runs, runs to its end.
    pub(super) fn stop(&mut self) {
        self.superseded = true;
        self.scheduler = None;
    }

    /// Waits for the next thing to do, and does it. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) {
        let wake = self.scheduler.as_ref().and_then(|scheduler| scheduler.wake_at(Now::read()));
        let due = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {
                let due = self.scheduler.as_mut().map(|scheduler| scheduler.due(Now::read()));
                self.begin(due.unwrap_or_default());
            }
            Some((run, outcome)) = self.own.1.recv() => self.ended(run, &[outcome]),
        }
    }

    /// A run has ended everywhere.
    pub(super) fn ended(&mut self, run: RunId, outcomes: &[TaskOutcome]) {
        let Some(index) = self.runs.remove(&run) else { return };
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.ended(index);
        }
        let name = &self.schedules[index].name;
        if outcomes.is_empty() {
            tracing::warn!(target: "schedule", "{name}: no worker was ready to run it");
        }
        for TaskOutcome { pid, elapsed, result } in outcomes {
            let ms = elapsed.as_millis();
            match result {
                Ok(()) => {
                    tracing::info!(target: "schedule", "{name}: succeeded on process {pid}, used {ms} ms");
                }
                Err(why) => {
                    tracing::error!(target: "schedule", "{name}: failed on process {pid}, used {ms} ms: {why}");
                }
            }
        }
    }

    fn begin(&mut self, due: Vec<Due>) {
        for due in due {
            match due {
                Due::Run(index) if self.runs.len() >= MAX_RUNS => {
                    if let Some(scheduler) = &mut self.scheduler {
                        scheduler.ended(index);
                    }
                    let name = &self.schedules[index].name;
                    tracing::error!(target: "schedule", "{name}: left out, since {MAX_RUNS} runs have not ended");
                }
                Due::Run(index) => self.run(index),
                Due::Skipped(index) => {
                    let name = &self.schedules[index].name;
                    tracing::warn!(target: "schedule", "{name}: skipped, since it still runs (`overlap`)");
                }
            }
        }
    }

    fn run(&mut self, index: Index) {
        self.last += 1;
        let run = RunId(self.last);
        self.runs.insert(run, index);
        let Schedule { name, on, payload, .. } = &self.schedules[index];
        tracing::debug!(target: "schedule", "{name}: runs");
        if *on == RunOn::Agent {
            return self.run_here(run, name.clone(), payload.clone());
        }
        let data = payload.as_deref().unwrap_or_default().as_bytes();
        let frame = ToMaster::RunTask { run, name: name.clone(), on: *on, has_payload: payload.is_some() };
        self.cluster.tell_with(&frame, data);
    }

    fn run_here(&self, run: RunId, name: String, payload: Option<String>) {
        let (reply, ended) = oneshot::channel();
        // The manifest has no schedule on an agent without a component.
        if let Some(guest) = &self.guest {
            guest.send(Job::Task { name, payload: payload.map(Bytes::from), reply });
        }
        let (pid, own, begun) = (self.cluster.pid(), self.own.0.clone(), Instant::now());
        tokio::spawn(async move {
            let (elapsed, result): (Duration, _) = ended.await.unwrap_or_else(|_| {
                (begun.elapsed(), Err("the instance ended before the task did".to_owned()))
            });
            // The agent is gone, then.
            let _ = own.send((run, TaskOutcome { pid, elapsed, result }));
        });
    }
}
