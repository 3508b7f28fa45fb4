//! Routing as tables: who sends what, and what goes out.

mod agents;
mod messages;
mod questions;
mod rates;
mod tasks;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{questions::MAX_OPEN_QUESTIONS, tasks::MAX_OPEN_RUNS, *};
use crate::{
    cluster::{Action, Target},
    ipc::message::{AskId, QuestionId, RunId},
    manifest::RunOn,
};

const QUEUE: usize = 10_000;

/// An app with an agent (pid 1) and workers (2..), and a clock.
struct Rig {
    router: Router,
    now: Instant,
    out: Vec<Outgoing>,
}

impl Rig {
    fn empty(agent: bool) -> Self {
        let config = Config {
            agent,
            queue_size: QUEUE,
            message_size: 1000,
            request_timeout: Duration::from_secs(30),
            seed: 7,
            message_rate: 1_000_000,
        };
        Self { router: Router::new(config), now: Instant::now(), out: vec![] }
    }

    /// Everybody ready and told.
    fn ready(workers: u64) -> Self {
        let mut rig = Self::empty(true);
        rig.add(1, Role::Agent);
        for pid in 2..2 + workers {
            rig.add(pid, Role::Worker);
        }
        rig.cluster_ready(workers);
        rig
    }

    fn add(&mut self, pid: u64, role: Role) {
        let slot = u32::try_from(pid.saturating_sub(2)).expect("small");
        self.router.added(Process { pid: Pid(pid), role, slot, generation: 1, state: State::Starting });
    }

    fn cluster_ready(&mut self, workers: u64) {
        for pid in 1..2 + workers {
            self.router.ready(Pid(pid), self.now, &mut self.out);
        }
        for pid in 1..2 + workers {
            self.router.open(Pid(pid), &mut self.out);
        }
        self.router.cluster_ready(&mut self.out);
        self.out.retain(|out| out.frame != ToChild::ClusterReady);
    }

    /// A process that joins later is ready and told.
    fn joins(&mut self, pid: u64) {
        self.router.ready(Pid(pid), self.now, &mut self.out);
        self.router.open(Pid(pid), &mut self.out);
    }

    fn handle(&mut self, from: u64, frame: ToMaster, data: &[u8]) -> Result<(), Violation> {
        let data = Bytes::copy_from_slice(data);
        self.router.handle(Pid(from), frame, data, self.now, &mut self.out)
    }

    fn send(&mut self, from: u64, to: Target, name: &str) {
        self.send_data(from, to, name, b"");
    }

    fn send_data(&mut self, from: u64, to: Target, name: &str, data: &[u8]) {
        self.handle(from, ToMaster::Send { to, action: action(name) }, data).expect("an honest send");
    }

    fn ask(&mut self, from: u64, ask: u64, to: AskTarget) {
        let frame =
            ToMaster::Ask { ask: AskId(ask), to, action: action("q"), timeout: Duration::from_secs(2) };
        self.handle(from, frame, b"?").expect("an honest question");
    }

    fn answer(&mut self, from: u64, question: u64) -> Result<(), Violation> {
        self.handle(from, ToMaster::Answer { question: QuestionId(question), outcome: Ok(()) }, b"!")
    }

    fn run(&mut self, from: u64, run: u64, on: RunOn) -> Result<(), Violation> {
        let name = "refresh".to_owned();
        self.handle(from, ToMaster::RunTask { run: RunId(run), name, on, has_payload: true }, b"p")
    }

    fn done(&mut self, from: u64, run: u64) -> Result<(), Violation> {
        let elapsed = Duration::from_millis(5);
        self.handle(from, ToMaster::TaskDone { run: RunId(run), elapsed, result: Ok(()) }, b"")
    }

    fn gone(&mut self, pid: u64) {
        self.router.gone(Pid(pid), self.now, &mut self.out);
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
        self.router.tick(self.now, &mut self.out);
    }

    /// What went out since the last look, one a line.
    fn seen(&mut self) -> Vec<String> {
        self.out.drain(..).map(|out| show(&out)).collect()
    }

    fn counters(&self, pid: u64) -> Counters {
        let found = self.router.counters().find(|(found, _)| found.0 == pid);
        found.map(|(_, counters)| counters).unwrap_or_default()
    }
}

fn action(name: &str) -> Action {
    Action::try_from(name.to_owned()).expect("a valid action")
}

fn show(out: &Outgoing) -> String {
    let to = out.to;
    match &out.frame {
        ToChild::ClusterReady => format!("{to}: cluster-ready"),
        ToChild::Message { sender, action } => format!("{to}: {action} from {}", sender.pid),
        ToChild::Question { question, sender, timeout, .. } => {
            format!("{to}: question {} from {} for {timeout:?}", question.0, sender.pid)
        }
        ToChild::Asked { ask, pids } => {
            format!("{to}: asked {} of {:?}", ask.0, pids.iter().map(|pid| pid.0).collect::<Vec<_>>())
        }
        ToChild::Answered { ask, pid, outcome } => {
            let who = pid.map_or("nobody".to_owned(), |pid| pid.to_string());
            let how = match outcome {
                Ok(()) => "ok".to_owned(),
                Err(why) => why.to_string(),
            };
            format!("{to}: answer {} by {who}: {how}", ask.0)
        }
        ToChild::RunTask { run, name, .. } => format!("{to}: run {} {name}", run.0),
        ToChild::RunEnded { run, outcomes } => {
            let outcomes: Vec<_> = outcomes.iter().map(|o| format!("{} {:?}", o.pid, o.result)).collect();
            format!("{to}: ended {} {outcomes:?}", run.0)
        }
        ToChild::Boot(_)
        | ToChild::Processes(_)
        | ToChild::Stop(_)
        | ToChild::Superseded
        | ToChild::Check(_)
        | ToChild::Hush { .. }
        | ToChild::Serve => format!("{to}: {:?}", out.frame),
    }
}
