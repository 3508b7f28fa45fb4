//! Who gets which connection, as tables.

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

use FromWorker::{Accept, Busy, Closed, Refuse, Taken};

#[test]
fn round_robin_differs_by_one_at_most() {
    for (workers, connections, at_once) in [(3, 10, 1), (3, 11, 11), (4, 400, 7), (1, 5, 5), (7, 6, 2)] {
        let mut rig = Rig::new(Policy::RoundRobin, workers);
        let workers = usize::try_from(workers).expect("small");
        let mut got = vec![0; workers];
        let mut left = connections;
        while left > 0 {
            let now = at_once.min(left);
            rig.arrive(now);
            left -= now;
            got.iter_mut().zip(rig.serve(workers)).for_each(|(all, new)| *all += new);
        }
        let (least, most) = (got.iter().min().expect("some"), got.iter().max().expect("some"));
        assert!(most - least <= 1, "{connections} over {workers}: {got:?}");
        assert_eq!(got.iter().sum::<u64>(), connections);
        assert_eq!(rig.balance.held(), 0, "no copy is kept");
    }
}

#[test]
fn one_handoff_step_by_step() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    rig.arrive(1);
    assert_eq!(rig.seen(), "offer 1>1");
    rig.says(1, Accept(id(1)));
    assert_eq!(rig.seen(), "send 1>1");
    rig.says(1, Accept(id(1)));
    assert_eq!(rig.seen(), "", "once");
    assert_eq!(rig.balance.held(), 1);
    rig.says(1, Taken(id(1)));
    assert_eq!(rig.seen(), "drop 1");
    rig.says(1, Closed(id(1)));
    assert_eq!((rig.seen().as_str(), rig.balance.held()), ("", 0));
}

#[test]
fn connections_wait_for_a_worker() {
    let mut rig = Rig::new(Policy::RoundRobin, 0);
    rig.arrive(2);
    assert_eq!(rig.seen(), "");
    assert!(!rig.balance.has_workers());
    rig.balance.ready(Pid(5), 1, rig.now, &mut rig.steps);
    assert_eq!(rig.seen(), "offer 1>5, offer 2>5");
}

#[test]
fn a_refused_one_goes_to_the_next() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    rig.arrive(1);
    rig.says(1, Refuse(id(1)));
    assert_eq!(rig.seen(), "offer 1>1, offer 1>2");
    rig.says(2, Refuse(id(1)));
    assert_eq!(rig.seen(), "", "everybody is full: it waits");
    rig.says(2, Refuse(id(1)));
    let due = rig.balance.deadline().expect("they are asked again");
    assert!(due <= rig.now + REFUSAL_PAUSE);
    rig.later(REFUSAL_PAUSE);
    assert_eq!(rig.seen(), "offer 1>1");
    rig.says(1, Accept(id(1)));
    rig.says(1, Refuse(id(1)));
    assert_eq!(rig.seen(), "send 1>1, offer 1>2", "it had no fd left for it");
    rig.says(2, Accept(id(1)));
    rig.says(2, Taken(id(1)));
    rig.arrive(1);
    rig.says(2, Refuse(id(2)));
    rig.seen();
    rig.says(2, Closed(id(1)));
    assert_eq!(rig.seen(), "offer 2>2", "it has room again");
}

#[test]
fn a_worker_that_does_not_answer_is_passed_over() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    rig.arrive(1);
    rig.later(OFFER_TIMEOUT - Duration::from_millis(1));
    assert_eq!(rig.seen(), "offer 1>1");
    rig.later(Duration::from_millis(1));
    assert_eq!(rig.seen(), "offer 1>2");
    rig.says(2, Accept(id(1)));
    rig.says(2, Taken(id(1)));
    rig.seen();
    rig.arrive(3);
    assert_eq!(rig.seen(), "offer 2>2, offer 3>2, offer 4>2", "1 is stuck");
    rig.says(1, Accept(id(1)));
    assert_eq!(rig.seen(), "", "too late for that one");
    rig.arrive(1);
    assert_eq!(rig.seen(), "offer 5>1", "but it answers again");
}

#[test]
fn when_all_are_stuck_the_first_to_answer_gets_it() {
    let mut rig = Rig::new(Policy::RoundRobin, 1);
    rig.arrive(2);
    rig.later(OFFER_TIMEOUT);
    assert_eq!(rig.seen(), "offer 1>1, offer 2>1");
    assert_eq!(rig.balance.deadline(), None, "nothing to do but wait");
    rig.says(1, Accept(id(1)));
    assert_eq!(rig.seen(), "send 1>1, offer 2>1");
    rig.says(1, Accept(id(2)));
    rig.says(1, Accept(id(2)));
    assert_eq!(rig.seen(), "send 2>1", "two offers, one connection");
}

#[test]
fn an_older_offer_does_not_lapse_for_a_newer_one() {
    let mut rig = Rig::new(Policy::RoundRobin, 1);
    rig.arrive(1);
    rig.says(1, Refuse(id(1)));
    rig.later(REFUSAL_PAUSE);
    assert_eq!(rig.seen(), "offer 1>1, offer 1>1");
    rig.later(OFFER_TIMEOUT - REFUSAL_PAUSE);
    rig.arrive(1);
    assert_eq!(rig.seen(), "offer 2>1", "it still has its time for the second offer");
}

#[test]
fn what_a_dead_worker_had_not_taken_goes_to_others() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    rig.arrive(6);
    for (pid, number) in [(1, 1), (1, 3), (2, 2)] {
        rig.says(pid, Accept(id(number)));
    }
    rig.says(1, Taken(id(1)));
    rig.seen();
    rig.gone(1);
    assert_eq!(rig.seen(), "offer 3>2, offer 5>2", "sent or offered, in their order; 1 died with it");
    rig.gone(2);
    assert_eq!((rig.seen().as_str(), rig.balance.held()), ("", 5));
    rig.balance.ready(Pid(3), 1, rig.now, &mut rig.steps);
    assert_eq!(rig.seen(), "offer 2>3, offer 3>3, offer 4>3, offer 5>3, offer 6>3");
}

#[test]
fn a_draining_worker_keeps_what_it_was_sent() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    rig.arrive(3);
    rig.says(1, Accept(id(1)));
    rig.seen();
    rig.balance.draining(Pid(1), rig.now, &mut rig.steps);
    assert_eq!(rig.seen(), "offer 3>2");
    rig.says(1, Accept(id(3)));
    rig.says(1, Taken(id(1)));
    rig.says(1, Closed(id(1)));
    assert_eq!(rig.seen(), "drop 1");
    rig.arrive(1);
    assert_eq!(rig.seen(), "offer 4>2");
    rig.gone(1);
    assert_eq!(rig.seen(), "");
}

#[test]
fn least_connections_goes_where_fewest_are() {
    let mut rig = Rig::new(Policy::LeastConnections, 3);
    rig.arrive(6);
    assert_eq!(rig.serve(3), [2, 2, 2]);
    rig.says(2, Closed(id(2)));
    rig.says(2, Closed(id(5)));
    rig.arrive(2);
    assert_eq!(rig.serve(3), [0, 2, 0]);
    rig.arrive(3);
    assert_eq!(rig.serve(3), [1, 1, 1]);
}

#[test]
fn what_is_under_way_is_bounded() {
    let mut rig = Rig::new(Policy::RoundRobin, 1);
    let bound = MAX_UNDER_WAY as u64;
    rig.arrive(bound + 5);
    assert_eq!(rig.steps.len(), MAX_UNDER_WAY);
    rig.says(1, Accept(id(1)));
    rig.seen();
    rig.says(1, Taken(id(1)));
    assert_eq!(rig.seen(), format!("drop 1, offer {}>1", bound + 1));
}

#[test]
fn a_burst_loses_no_turn() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    let bound = 2 * MAX_UNDER_WAY as u64;
    rig.arrive(bound + 5);
    rig.seen();
    let mut take = |pid, nth| {
        rig.says(pid, Accept(id(nth)));
        rig.seen();
        rig.says(pid, Taken(id(nth)));
        rig.seen()
    };
    assert_eq!(take(1, 1), format!("drop 1, offer {}>1", bound + 1));
    assert_eq!(take(1, 3), "drop 3", "worker 2 is slower, and it is its turn");
    assert_eq!(take(2, 2), format!("drop 2, offer {}>2, offer {}>1", bound + 2, bound + 3));
}

#[test]
fn a_worker_that_accepts_and_takes_nothing_holds_nobody_back() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    let bound = 2 * MAX_UNDER_WAY as u64;
    rig.arrive(bound);
    rig.later(Duration::from_millis(1));
    for number in 1..=bound {
        rig.says(2 - number % 2, Accept(id(number)));
    }
    for number in 1..=bound / 2 {
        rig.says(2, Taken(id(2 * number)));
    }
    rig.seen();
    rig.arrive(3);
    assert_eq!(rig.seen(), "", "it is 1's turn, and 1 has enough under way");
    rig.later(OFFER_TIMEOUT);
    let next = bound + 1;
    assert_eq!(rig.seen(), format!("offer {next}>2, offer {}>2, offer {}>2", next + 1, next + 2));
    assert_eq!(rig.balance.held(), MAX_UNDER_WAY + 3, "what 1 was sent is still its own");
    rig.says(1, Taken(id(1)));
    rig.seen();
    rig.arrive(1);
    assert_eq!(rig.seen(), format!("offer {}>1", next + 3), "it goes on");
}

#[test]
fn violations_as_a_table() {
    for answer in [Accept(id(99)), Refuse(id(99)), Taken(id(99)), Closed(id(99)), Taken(id(1)), Closed(id(1))]
    {
        let mut rig = Rig::new(Policy::RoundRobin, 1);
        rig.arrive(1);
        let result = rig.balance.answered(Pid(1), answer, rig.now, &mut rig.steps);
        assert!(result.is_err(), "{answer:?}");
    }
}

#[test]
fn others_are_preferred_to_who_is_busy() {
    for policy in [Policy::RoundRobin, Policy::LeastConnections] {
        let mut rig = Rig::new(policy, 2);
        rig.arrive(1);
        assert_eq!(rig.seen(), "offer 1>1");
        rig.says(1, Busy(id(1)));
        assert_eq!(rig.seen(), "offer 1>2");
        rig.arrive(2);
        assert_eq!(rig.seen(), "offer 2>2, offer 3>2", "{policy:?}");
        rig.later(BUSY_PAUSE);
        rig.arrive(1);
        assert_eq!(rig.seen(), "offer 4>1", "{policy:?}: it is asked again");
    }
}

#[test]
fn nothing_waits_for_want_of_somebody_who_is_not_busy() {
    let mut rig = Rig::new(Policy::RoundRobin, 3);
    rig.arrive(1);
    rig.says(1, Busy(id(1)));
    assert_eq!(rig.seen(), "offer 1>1, offer 1>2");
    rig.says(2, Busy(id(1)));
    assert_eq!(rig.seen(), "offer 1>3");
    // The last one has no room: the first is told to take it, busy as it is.
    rig.says(3, Refuse(id(1)));
    assert_eq!(rig.seen(), "insist 1>1");
    rig.says(1, Accept(id(1)));
    assert_eq!(rig.seen(), "send 1>1");
    rig.says(1, Taken(id(1)));
    // And the next one, in turn.
    assert_eq!(rig.seen(), "drop 1");
    rig.arrive(1);
    assert_eq!(rig.seen(), "insist 2>2");
    // Busy is no reason now, but whoever says so all the same is not asked in a circle for ever.
    rig.says(2, Refuse(id(2)));
    assert_eq!(rig.seen(), "insist 2>1");
    rig.says(1, Refuse(id(2)));
    assert_eq!(rig.seen(), "");
    rig.later(REFUSAL_PAUSE);
    assert_eq!(rig.seen(), "offer 2>2", "who was busy may be so no more");
}

/// Workers 1 to `old` of one generation and as many as `new` more of the next one, which gets a share.
fn canary(policy: Policy, (old, new): (u64, u64), percent: u8) -> Rig {
    let mut rig = Rig::new(policy, old);
    rig.balance.share(Some(Share { generation: 2, percent }));
    for pid in old + 1..=old + new {
        rig.balance.ready(Pid(pid), 2, rig.now, &mut rig.steps);
    }
    rig
}

#[test]
fn a_canary_gets_its_share_exactly() {
    for policy in [Policy::RoundRobin, Policy::LeastConnections] {
        for (percent, at_once, expected) in [
            (10, 1, [90, 90, 10, 10]),
            (50, 1, [50, 50, 50, 50]),
            (50, 20, [50, 50, 50, 50]),
            (1, 10, [99, 99, 1, 1]),
            (99, 1, [1, 1, 99, 99]),
            (33, 7, [67, 67, 33, 33]),
        ] {
            let mut rig = canary(policy, (2, 2), percent);
            let (mut got, mut left) = (vec![0; 4], 200);
            while left > 0 {
                let now = at_once.min(left);
                rig.arrive(now);
                left -= now;
                got.iter_mut().zip(rig.serve(4)).for_each(|(all, new)| *all += new);
            }
            assert_eq!(got, expected, "{policy:?} {percent} % by {at_once}");
        }
    }
}

#[test]
fn what_one_side_refuses_the_other_takes() {
    for (refuses, takes) in [(1, 2), (2, 1)] {
        let mut rig = canary(Policy::RoundRobin, (1, 1), 50);
        let mut got = 0;
        for _ in 0..10 {
            rig.arrive(1);
            while !rig.steps.is_empty() {
                for step in std::mem::take(&mut rig.steps) {
                    match step {
                        Step::Offer(Pid(pid), id) | Step::Insist(Pid(pid), id) => {
                            rig.says(pid, if pid == refuses { Refuse(id) } else { Accept(id) });
                        }
                        Step::Send(pid, id) => {
                            assert_eq!(pid, Pid(takes));
                            got += 1;
                            rig.says(takes, Taken(id));
                        }
                        Step::Drop(_) => {}
                    }
                }
            }
        }
        assert_eq!((got, rig.balance.held()), (10, 0));
    }
}

#[test]
fn one_side_is_gone() {
    for (gone, rest) in [(1, [0, 20]), (2, [20, 0])] {
        let mut rig = canary(Policy::RoundRobin, (1, 1), 30);
        rig.gone(gone);
        rig.arrive(20);
        assert_eq!(rig.serve(2), rest);
    }
}

#[test]
fn the_other_side_is_preferred_to_one_that_computes() {
    let mut rig = canary(Policy::RoundRobin, (1, 1), 50);
    rig.arrive(1);
    assert_eq!(rig.seen(), "offer 1>2");
    rig.says(2, Busy(id(1)));
    assert_eq!(rig.seen(), "offer 1>1");
}

#[test]
fn afterwards_all_are_alike() {
    let mut rig = canary(Policy::RoundRobin, (2, 2), 1);
    rig.arrive(100);
    assert_eq!(rig.serve(4), [50, 49, 1, 0]);
    rig.balance.share(None);
    rig.arrive(40);
    assert_eq!(rig.serve(4), [10, 10, 10, 10]);
}
