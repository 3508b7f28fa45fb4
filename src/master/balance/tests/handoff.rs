//! One connection's way to a worker: offered, accepted or refused, sent, taken; and the ends of workers.

use super::*;

#[test]
fn one_handoff_step_by_step() {
    let mut rig = Rig::new(Policy::RoundRobin, 2);
    rig.arrive(1);
    assert_eq!(rig.seen(), "offer 1>1");
    rig.says(1, Accept(id(1)));
    assert_eq!(rig.seen(), "send 1>1");
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
    assert_eq!(rig.seen(), "send 2>1", "two offers, two answers, one connection");
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
fn nobody_answers_more_than_it_was_asked() {
    type Before = fn(&mut Rig);
    let cases: &[(&str, Before, u64)] = &[
        ("it was offered one, and has answered", |rig| rig.says(1, Refuse(id(1))), 1),
        (
            "it was sent one, and has taken it",
            |rig| {
                rig.says(1, Accept(id(1)));
                rig.says(1, Taken(id(1)));
            },
            1,
        ),
        (
            "it was offered one, which has lapsed, and has answered",
            |rig| {
                rig.later(OFFER_TIMEOUT);
                rig.says(1, Busy(id(1)));
            },
            1,
        ),
        (
            "it drains, and has answered",
            |rig| {
                rig.balance.draining(Pid(1), rig.now, &mut rig.steps);
                rig.says(1, Accept(id(1)));
            },
            1,
        ),
        ("it was offered none", |_| {}, 2),
        ("it is not ready", |_| {}, 3),
        ("it is gone", |rig| rig.gone(1), 1),
    ];
    for (what, before, pid) in cases {
        for word in [Accept, Refuse, Busy, Closed] as [fn(ConnectionId) -> FromWorker; 4] {
            let mut rig = Rig::new(Policy::RoundRobin, 1);
            rig.arrive(1);
            rig.balance.ready(Pid(2), 1, rig.now, &mut rig.steps);
            before(&mut rig);
            let word = word(id(1));
            let result = rig.balance.answered(Pid(*pid), word, rig.now, &mut rig.steps);
            let may = matches!(word, Closed(_)) && what.contains("has taken");
            assert_eq!(result.is_ok(), may, "{what}: {word:?}");
        }
    }
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
