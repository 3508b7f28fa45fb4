//! Who gets which connection, as tables. Here is what drives them.

mod canary;
mod handoff;
mod turns;

use FromWorker::{Accept, Busy, Closed, Refuse, Taken};

use super::*;

struct Rig {
    balance: Balance,
    now: Instant,
    steps: Vec<Step>,
    next: u64,
}

impl Rig {
    fn new(policy: Policy, workers: u64) -> Self {
        let mut rig = Self { balance: Balance::new(policy), now: Instant::now(), steps: vec![], next: 0 };
        for pid in 1..=workers {
            rig.balance.ready(Pid(pid), 1, rig.now, &mut rig.steps);
        }
        rig
    }

    fn arrive(&mut self, count: u64) {
        for _ in 0..count {
            self.next += 1;
            self.balance.arrived(ConnectionId(self.next), self.now, &mut self.steps);
        }
    }

    fn says(&mut self, pid: u64, answer: FromWorker) {
        self.balance.answered(Pid(pid), answer, self.now, &mut self.steps).expect("an honest answer");
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
        self.balance.tick(self.now, &mut self.steps);
    }

    fn gone(&mut self, pid: u64) {
        self.balance.gone(Pid(pid), self.now, &mut self.steps);
    }

    /// `offer 1>2`: connection 1 to worker 2.
    fn seen(&mut self) -> String {
        let show = |step: Step| match step {
            Step::Offer(pid, id) => format!("offer {}>{pid}", id.0),
            Step::Insist(pid, id) => format!("insist {}>{pid}", id.0),
            Step::Send(pid, id) => format!("send {}>{pid}", id.0),
            Step::Drop(id) => format!("drop {}", id.0),
        };
        self.steps.drain(..).map(show).collect::<Vec<_>>().join(", ")
    }

    /// Answers all offers with yes and takes what comes; gives what each worker got.
    fn serve(&mut self, workers: usize) -> Vec<u64> {
        let mut got = vec![0; workers + 1];
        while !self.steps.is_empty() {
            for step in std::mem::take(&mut self.steps) {
                match step {
                    Step::Offer(pid, id) | Step::Insist(pid, id) => self.says(pid.0, Accept(id)),
                    Step::Send(pid, id) => {
                        got[usize::try_from(pid.0).expect("small")] += 1;
                        self.says(pid.0, Taken(id));
                    }
                    Step::Drop(_) => {}
                }
            }
        }
        got.remove(0);
        got
    }
}

fn id(number: u64) -> ConnectionId {
    ConnectionId(number)
}
