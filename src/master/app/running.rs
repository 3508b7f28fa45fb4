//! What one generation of an app consists of while it runs, and what becomes of each thing that it
//! hears. `generations` owns them. It decides nothing by itself: `state` says what is to be done,
//! `router` who gets what.

mod act;
mod checks;
mod quota;
mod report;
mod send;
mod spawn;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::limits::Reasons;
use crate::{
    cluster::{Pid, Role, State},
    ipc::{
        counters::Snapshot,
        message::{ToChild, ToMaster},
    },
    master::{
        broker::{self, Broker},
        children::{Child, ChildEvent, Events, Happening},
        front::Front,
        ledger::Ledger,
        pids::Pids,
        reason::{MAX_REASON, broke, cut},
        release::Release,
        router::{self, Outgoing, Router},
        state::{
            Cluster, Event, Shape,
            health::{self, Health},
        },
        steps::{Step, Steps},
    },
};

/// What a generation is made of.
pub(super) struct Options {
    /// What it runs.
    pub(super) release: Release,
    /// Counted from 1.
    pub(super) generation: u64,
    /// Perhaps shared with another one.
    pub(super) front: Arc<Front>,
    /// Shared by all.
    pub(super) pids: Pids,
    /// Of random choices.
    pub(super) seed: u64,
    /// Where its children's events go.
    pub(super) events: Events,
    /// Who wants to know what becomes of it.
    pub(super) steps: Steps,
    /// Of the app.
    pub(super) ledger: Ledger,
    /// The app's folders take too much of the disk.
    pub(super) disk_full: bool,
}

/// One generation.
pub(super) struct Running {
    pub(super) release: Release,
    pub(super) generation: u64,
    pub(super) front: Arc<Front>,
    pub(super) steps: Steps,
    is_alone: bool,
    cluster: Cluster,
    router: Router,
    children: BTreeMap<Pid, Child>,
    events: Events,
    /// Frames to be sent; empty between two events.
    out: Vec<Outgoing>,
    /// What `state` is to be told; empty between two events.
    told: VecDeque<Event>,
    drops_reported: u64,
    /// It has been told to serve: its workers get connections.
    serves: bool,
    /// A newer generation keeps the time.
    is_superseded: bool,
    /// Every process is ready and healthy, or was once: it may serve.
    pub(super) is_ready: bool,
    /// Why it could not start.
    pub(super) failure: Option<String>,
    /// No process is left.
    pub(super) stopped: bool,
    /// What its children counted that are gone.
    gone: Snapshot,
    /// Is it healthy? While that is looked at.
    health: Option<Health>,
    /// What the child logged last that made it fail.
    last_lines: Vec<String>,
    /// Processes that ended, or failed, when they were ready.
    crashes: u64,
    /// Connects to other hosts for its children, where they are granted any.
    broker: Option<Broker>,
    /// What it and the others of its app were denied outside.
    pub(super) ledger: Ledger,
    /// Processes that start find their folders read-only.
    disk_full: bool,
    /// For which limits' sake processes went.
    reasons: Reasons,
}

impl Running {
    /// Starts it.
    pub(super) fn start(options: Options) -> Self {
        let Options { release, generation, front, pids, seed, events, steps, ledger, disk_full } = options;
        let limits = release.app.limits;
        let shape = Shape {
            app: release.app.name.clone(),
            generation,
            agent: release.has_agent(),
            workers: release.workers(),
            start_timeout: limits.start_timeout,
            stop_timeout: limits.stop_timeout,
            drain_timeout: limits.drain_timeout,
            seed,
        };
        let config = router::Config {
            agent: shape.agent,
            queue_size: limits.queue_size,
            message_size: limits.message_size,
            request_timeout: limits.request_timeout,
            seed,
            message_rate: limits.message_rate,
        };
        let broker = Broker::start(broker::Options {
            app: release.app.clone(),
            events: events.clone(),
            ledger: ledger.clone(),
        });
        let mut running = Self {
            release,
            generation,
            front,
            steps,
            is_alone: false,
            cluster: Cluster::new(shape, pids),
            router: Router::new(config),
            children: BTreeMap::new(),
            events,
            out: vec![],
            told: VecDeque::new(),
            drops_reported: 0,
            serves: false,
            is_superseded: false,
            is_ready: false,
            failure: None,
            stopped: false,
            gone: Snapshot::default(),
            health: None,
            last_lines: vec![],
            crashes: 0,
            broker,
            ledger,
            disk_full,
            reasons: Reasons::default(),
        };
        running.steps.say(Step::Starts { generation });
        running.step(Event::Start);
        running
    }

    /// It never served, or is not going to. What the log has already is said as well: who brought it
    /// may not see that.
    pub(super) fn failed(&self, why: &str) {
        if self.last_lines.is_empty() {
            return self.steps.failed(why);
        }
        self.steps.failed(format!("{why}\nlast lines of its log:\n  {}", self.last_lines.join("\n  ")));
    }

    /// Nothing is left of those before it.
    pub(super) fn alone(&mut self) {
        if !std::mem::replace(&mut self.is_alone, true) {
            self.steps.say(Step::Alone);
        }
    }

    /// To whom it concerns.
    pub(super) fn say_serves(&self, steps: &Steps) {
        steps.say(Step::Serves { generation: self.generation, address: self.front.address() });
    }

    /// Is it one of its children?
    pub(super) fn has(&self, pid: Pid) -> bool {
        self.children.contains_key(&pid)
    }

    /// Its workers get connections from now on.
    pub(super) fn serve(&mut self) {
        self.take_connections();
        self.front.open();
        self.say_serves(&self.steps);
    }

    /// The same, while another one may serve: a share is the front's to know.
    pub(super) fn take_connections(&mut self) {
        if std::mem::replace(&mut self.serves, true) {
            return;
        }
        for process in self.cluster.processes() {
            if process.role == Role::Worker && process.state == State::Ready {
                self.takes_connections(process.pid);
            }
        }
        self.settle();
    }

    fn takes_connections(&mut self, pid: Pid) {
        self.front.ready(pid, self.generation);
        self.control(pid, &ToChild::Serve);
    }

    /// A newer generation serves: no scheduled run begins any more.
    pub(super) fn superseded(&mut self) {
        self.is_superseded = true;
        for process in self.cluster.processes() {
            if process.role == Role::Agent {
                self.control(process.pid, &ToChild::Superseded);
            }
        }
        self.settle();
    }

    /// Goes on with another number of workers, and nothing else changed. Gives what it was.
    pub(super) fn scale(&mut self, release: Release) -> Release {
        let workers = release.workers();
        let former = std::mem::replace(&mut self.release, release);
        self.step(Event::Scale { workers });
        former
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let health = self.health.as_ref().and_then(Health::deadline);
        [self.cluster.deadline(), self.router.deadline(), health].into_iter().flatten().min()
    }

    pub(super) fn tick(&mut self) {
        self.router.tick(Instant::now(), &mut self.out);
        self.send_out();
        self.check(health::Event::Tick);
        self.step(Event::Tick);
    }

    /// A child did something.
    pub(super) fn heard(&mut self, event: ChildEvent) {
        let ChildEvent { pid, what } = event;
        match what {
            Happening::Frame(..) if self.children.get(&pid).is_none_or(Child::is_killed) => {}
            // Said once is enough, and it is for the log.
            Happening::Frame(ToMaster::Recycle { .. }, _) if !self.cluster.takes_recycle(pid) => {}
            Happening::Frame(ToMaster::Recycle { mut reason }, _) => {
                cut(&mut reason, MAX_REASON);
                self.reasons.note(&reason);
                tracing::info!(app = self.release.app.name, %pid, reason, "is to be replaced");
                self.step(Event::Recycle { pid, reason });
            }
            Happening::Frame(ToMaster::Checked { check, result }, _) => {
                self.check(health::Event::Checked { pid, check, result });
                self.settle();
            }
            Happening::Frame(ToMaster::Denied(denials), _) => self.ledger.add(denials),
            Happening::Frame(frame, data) => {
                if let Err(violation) = self.router.handle(pid, frame, data, Instant::now(), &mut self.out) {
                    self.told.push_back(Event::Failed { pid, reason: broke(violation.0) });
                }
                self.send_out();
                self.settle();
            }
            Happening::Ready => self.step(Event::Ready(pid)),
            Happening::Failed(reason) => {
                self.count_crash(pid);
                self.keep_last_lines(pid);
                self.step(Event::Failed { pid, reason });
            }
            Happening::Exited(reason) => {
                self.reasons.note(&reason);
                self.count_crash(pid);
                self.keep_last_lines(pid);
                self.forget(pid, &reason);
                self.step(Event::Exited { pid, reason });
            }
        }
    }

    fn forget(&mut self, pid: Pid, reason: &str) {
        if let Some(child) = self.children.remove(&pid) {
            self.gone.add(&child.counts().ended());
            let (app, os_pid) = (&self.release.app.name, child.os_pid());
            tracing::info!(app, %pid, os_pid, reason, "exited");
        }
        self.front.gone(pid);
        if let Some(broker) = &self.broker {
            broker.gone(pid);
        }
        self.check(health::Event::Gone(pid));
        self.router.gone(pid, Instant::now(), &mut self.out);
        self.send_out();
    }

    /// Ends in order. What handing out the last connections took is part of the time to stop.
    pub(super) fn stop(&mut self, asked_at: Instant) {
        self.health = None;
        let actions = self.cluster.handle(Event::Stop, asked_at);
        self.carry_out(actions);
        self.settle();
    }
}
