//! What one app consists of while it runs, and what becomes of each thing that it hears. `app`'s
//! loop owns one. It decides nothing by itself: `state` says what is to be done, `router` who gets
//! what.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use super::{Demand, Spec, Started};
use crate::{
    cluster::{Pid, Role, State},
    ipc::{
        link::SendError,
        message::{Boot, ToChild},
    },
    manifest::App,
    master::{
        children::{self, Child, ChildEvent, Happening, Launch},
        front::{self, Front},
        listeners::Breach,
        router::{self, Counters, Outgoing, Router},
        state::{Action, Cluster, Event, Shape, Slot},
        status::{AppStatus, ProcessStatus, SlotStatus},
    },
};

/// The most that handing out the last connections takes of `stop-timeout`.
const HANDOUT: Duration = Duration::from_secs(1);

/// Why a child that does not read is killed.
const STUCK: &str = "does not read its control socket";

pub(super) struct Running {
    spec: Spec,
    cluster: Cluster,
    router: Router,
    front: Front,
    children: BTreeMap<Pid, Child>,
    events: mpsc::Sender<ChildEvent>,
    started: mpsc::UnboundedSender<Started>,
    /// Frames to be sent; empty between two events.
    out: Vec<Outgoing>,
    /// What `state` is to be told; empty between two events.
    told: VecDeque<Event>,
    /// The last connections are being handed out, since then.
    closing: Option<(Instant, oneshot::Receiver<()>)>,
    drops_reported: u64,
    /// Why it could not start.
    pub(super) failure: Option<String>,
    /// No process is left.
    pub(super) stopped: bool,
}

impl Running {
    pub(super) fn new(
        mut spec: Spec,
        events: mpsc::Sender<ChildEvent>,
        breaches: mpsc::UnboundedSender<Breach>,
        started: mpsc::UnboundedSender<Started>,
    ) -> anyhow::Result<Self> {
        let App { name, limits, worker, .. } = &spec.app;
        let shape = Shape {
            app: name.clone(),
            agent: spec.has_agent(),
            workers: worker.as_ref().map_or(0, |worker| worker.workers.get()),
            start_timeout: limits.start_timeout,
            stop_timeout: limits.stop_timeout,
            seed: spec.seed,
        };
        let config = router::Config {
            agent: shape.agent,
            queue_size: limits.queue_size,
            message_size: limits.message_size,
            request_timeout: limits.request_timeout,
            seed: spec.seed,
        };
        let listener = spec.listener.take().zip(worker.as_ref());
        let front = listener.map(|(listener, worker)| front::Options {
            app: name.clone(),
            listener,
            balance: worker.balance,
            max_held: spec.max_held,
        });
        let front =
            Front::new(front, breaches).with_context(|| format!("cannot use the listener of {name}"))?;
        Ok(Self {
            cluster: Cluster::new(shape, spec.pids.clone()),
            router: Router::new(config),
            front,
            children: BTreeMap::new(),
            events,
            started,
            out: vec![],
            told: VecDeque::new(),
            closing: None,
            drops_reported: 0,
            failure: None,
            stopped: false,
            spec,
        })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.cluster.deadline().into_iter().chain(self.router.deadline()).min()
    }

    pub(super) fn tick(&mut self) {
        self.router.tick(Instant::now(), &mut self.out);
        self.send_out();
        self.step(Event::Tick);
    }

    /// A child did something.
    pub(super) fn heard(&mut self, event: ChildEvent) {
        let ChildEvent { pid, what } = event;
        match what {
            Happening::Frame(..) if self.children.get(&pid).is_none_or(Child::is_killed) => {}
            Happening::Frame(frame, data) => {
                if let Err(violation) = self.router.handle(pid, frame, data, Instant::now(), &mut self.out) {
                    self.told.push_back(Event::Failed { pid, reason: violation.0.to_owned() });
                }
                self.send_out();
                self.settle();
            }
            Happening::Ready => self.step(Event::Ready(pid)),
            Happening::Failed(reason) => self.step(Event::Failed { pid, reason }),
            Happening::Exited(reason) => {
                self.forget(pid, &reason);
                self.step(Event::Exited { pid, reason });
            }
        }
    }

    fn forget(&mut self, pid: Pid, reason: &str) {
        if let Some(child) = self.children.remove(&pid) {
            let (app, os_pid) = (&self.spec.app.name, child.os_pid());
            tracing::info!(app, %pid, os_pid, reason, "exited");
        }
        self.front.gone(pid);
        self.router.gone(pid, Instant::now(), &mut self.out);
        self.send_out();
    }

    pub(super) fn demanded(&mut self, demand: Demand) {
        match demand {
            Demand::Run => {}
            Demand::Stop if self.closing.is_none() => {
                let now = Instant::now();
                let handout = HANDOUT.min(self.spec.app.limits.stop_timeout / 4);
                self.closing = Some((now, self.front.close(now + handout)));
            }
            Demand::Stop => {}
            Demand::Kill => self.step(Event::Kill),
        }
    }

    /// Waits until the last connections are handed out, when the app is to stop.
    pub(super) async fn closed(&mut self) {
        match &mut self.closing {
            Some((_, done)) if !done.is_terminated() => {
                let _ = done.await;
            }
            Some(_) | None => std::future::pending().await,
        }
    }

    pub(super) fn stop(&mut self) {
        // What handing out took is part of the time to stop.
        let asked_at = self.closing.as_ref().map_or_else(Instant::now, |(at, _)| *at);
        let actions = self.cluster.handle(Event::Stop, asked_at);
        self.carry_out(actions);
        self.settle();
    }

    /// Tells `state`, and does what it says.
    pub(super) fn step(&mut self, event: Event) {
        self.told.push_back(event);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(event) = self.told.pop_front() {
            let now = Instant::now();
            if let Event::Failed { pid, reason } = &event {
                tracing::warn!(app = self.spec.app.name, %pid, reason, "failed");
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
        let (app, role, slot) = (&self.spec.app.name, process.role, process.slot);
        tracing::info!(app, %role, slot, %pid, "ready");
        self.router.ready(pid, now, &mut self.out);
        self.send_out();
        if role == Role::Worker {
            self.front.ready(pid);
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Spawn { pid, role, slot, replacement } => self.spawn(pid, role, slot, replacement),
                Action::ClusterReady { pid } => self.router.open(pid, &mut self.out),
                Action::ProcessesChanged => self.tell_processes(),
                Action::Ready => {
                    self.router.cluster_ready(&mut self.out);
                    self.front.open();
                    let (app, address) = (self.spec.app.name.clone(), self.front.address());
                    let _ = self.started.send(Started { app, address });
                }
                Action::StopChild { pid } => {
                    self.draining(pid);
                    self.control(pid, &ToChild::Stop);
                }
                Action::Kill { pid } => {
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
    }

    fn spawn(&mut self, pid: Pid, role: Role, slot: u32, replacement: bool) {
        let processes = self.cluster.processes();
        let Some(process) = processes.iter().find(|process| process.pid == pid).cloned() else { return };
        self.router.added(process.clone());
        let address = if role == Role::Worker { self.front.address() } else { None };
        let boot = Boot { app: self.spec.app.clone(), process, processes, address, replacement };
        let code = match role {
            Role::Agent => self.spec.agent.clone(),
            Role::Worker => self.spec.worker.clone(),
        };
        let launched = self.front.add(pid, role).and_then(|fds| {
            let launch = Launch { boot, code, handoff: fds.handoff, listener: fds.listener };
            children::launch(launch, self.events.clone())
        });
        match launched {
            Ok(child) => {
                let (app, os_pid) = (&self.spec.app.name, child.os_pid());
                tracing::info!(app, %role, slot, %pid, os_pid, replacement, "started");
                self.children.insert(pid, child);
            }
            Err(error) => {
                let reason = format!("it could not be started: {error}");
                tracing::warn!(app = self.spec.app.name, %role, slot, %pid, reason, "failed");
                self.forget(pid, &reason);
                self.told.push_back(Event::Exited { pid, reason });
            }
        }
    }

    fn tell_processes(&mut self) {
        let frame = ToChild::Processes(self.cluster.processes());
        let pids: Vec<Pid> = self.children.keys().copied().collect();
        for pid in pids {
            self.control(pid, &frame);
        }
    }

    /// A child that takes no control frame is stuck, and is killed.
    fn control(&mut self, pid: Pid, frame: &ToChild) {
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
    fn send_out(&mut self) {
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
            | ToChild::Stop => return self.control(*to, frame),
        };
        if sent.is_err() {
            self.router.refused(outgoing, &mut self.out);
        }
    }

    pub(super) fn report_drops(&mut self) {
        let dropped = self.router.dropped();
        let new = dropped.saturating_sub(self.drops_reported);
        if new > 0 {
            self.drops_reported = dropped;
            tracing::warn!(
                app = self.spec.app.name,
                messages = new,
                "dropped: their receivers were too slow, or gone"
            );
        }
    }

    /// How it is.
    pub(super) fn status(&self) -> AppStatus {
        let counters: BTreeMap<Pid, Counters> = self.router.counters().collect();
        AppStatus {
            name: self.spec.app.name.clone(),
            version: self.spec.app.version.clone(),
            address: self.front.address(),
            dropped: self.router.dropped(),
            late_answers: self.router.late_answers(),
            slots: self.cluster.slots().map(|slot| self.slot_status(slot, &counters)).collect(),
        }
    }

    fn slot_status(&self, slot: &Slot, counters: &BTreeMap<Pid, Counters>) -> SlotStatus {
        let process = slot.process().map(|process| {
            let Counters { received, sent, dropped } =
                counters.get(&process.pid).copied().unwrap_or_default();
            let os_pid = self.children.get(&process.pid).map_or(0, Child::os_pid);
            ProcessStatus { pid: process.pid, os_pid, state: process.state, received, sent, dropped }
        });
        SlotStatus {
            role: slot.role,
            slot: slot.slot,
            process,
            failing: slot.is_failing(),
            restarts: slot.restarts(),
            last_exit: slot.last_exit().map(str::to_owned),
        }
    }
}
