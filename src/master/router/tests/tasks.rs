//! Tasks, and what no honest child does.

use super::*;
use crate::{
    cluster::AskError,
    ipc::codec::{MAX_ENVELOPE, encode},
};

#[test]
fn tasks_run_where_they_should() {
    let mut rig = Rig::ready(2);
    rig.run(1, 10, RunOn::All).expect("the agent may");
    assert_eq!(rig.seen(), ["2: run 1 refresh", "3: run 2 refresh"]);
    rig.done(3, 2).expect("given");
    assert_eq!(rig.seen(), [""; 0]);
    rig.done(2, 1).expect("given");
    assert_eq!(rig.seen(), ["1: ended 10 [\"3 Ok(())\", \"2 Ok(())\"]"]);

    rig.router.draining(Pid(2));
    for run in 0..3 {
        rig.run(1, run, RunOn::One).expect("the agent may");
        assert_eq!(rig.seen(), [format!("3: run {} refresh", run + 3)]);
    }
    rig.gone(3);
    let why = "worker 1 went away before the task ended";
    let ended = |run| format!("1: ended {run} [\"3 Err(\\\"{why}\\\")\"]");
    assert_eq!(rig.seen(), [ended(0), ended(1), ended(2)]);
    rig.run(1, 11, RunOn::One).expect("the agent may");
    assert_eq!(rig.seen(), ["1: ended 11 []"], "no worker is ready");
}

#[test]
fn runs_are_bounded_and_die_with_the_agent() {
    let mut rig = Rig::ready(1);
    for run in 0..MAX_OPEN_RUNS as u64 {
        rig.run(1, run, RunOn::One).expect("the agent may");
    }
    rig.seen();
    rig.run(1, 5000, RunOn::One).expect("the agent may");
    let seen = rig.seen();
    assert!(seen[0].starts_with("1: ended 5000 [\"2 Err(") && seen.len() == 1, "{seen:?}");
    rig.gone(1);
    rig.add(9, Role::Agent);
    rig.joins(9);
    rig.seen();
    rig.done(2, 1).expect("late, not wrong");
    rig.run(9, 0, RunOn::One).expect("numbers are each agent's own");
    assert_eq!(rig.seen(), ["2: run 1025 refresh"]);
}

#[test]
fn violations_as_a_table() {
    type Break = fn(&mut Rig) -> Result<(), Violation>;
    let cases: &[(&str, Break)] = &[
        ("answered a question that it was not asked", |rig| rig.answer(2, 99)),
        ("answered a question that it was not asked", |rig| {
            rig.ask(2, 1, AskTarget::Agent);
            rig.answer(3, 1)
        }),
        ("asked for a task though it is not the agent", |rig| rig.run(2, 1, RunOn::One)),
        ("asked the master to run the agent's own task", |rig| rig.run(1, 1, RunOn::Agent)),
        ("used the number of a run twice", |rig| rig.run(1, 1, RunOn::One).and(rig.run(1, 1, RunOn::One))),
        ("ended a task that it was not given", |rig| rig.done(2, 1)),
        ("ended a task that it was not given", |rig| rig.run(1, 1, RunOn::All).and(rig.done(2, 2))),
        ("consumed more messages than it was sent", |rig| {
            rig.handle(2, ToMaster::Consumed { messages: 1, bytes: 0 }, b"")
        }),
        ("consumed more messages than it was sent", |rig| {
            rig.send(2, Target::Pid(Pid(2)), "m");
            rig.handle(2, ToMaster::Consumed { messages: 1, bytes: u64::MAX }, b"")
        }),
        ("consumed more messages than it was sent", |rig| {
            rig.handle(2, ToMaster::Consumed { messages: u64::MAX, bytes: 0 }, b"")
        }),
        ("sent more data than limits.message-size", |rig| {
            rig.handle(2, ToMaster::Send { to: Target::App, action: action("m") }, &[0; 1001])
        }),
        ("sent a frame of its start when it had started", |rig| rig.handle(2, ToMaster::Ready, b"")),
        ("sent a frame of its start when it had started", |rig| {
            rig.handle(2, ToMaster::Hello { protocol: 1 }, b"")
        }),
    ];
    for (expected, breaks) in cases {
        assert_eq!(breaks(&mut Rig::ready(2)), Err(Violation(expected)));
    }
}

#[test]
fn a_full_link_is_no_loss_of_count() {
    let mut rig = Rig::ready(1);
    rig.send(1, Target::Pid(Pid(2)), "m");
    rig.ask(1, 4, AskTarget::Pid(Pid(2)));
    rig.run(1, 6, RunOn::One).expect("the agent may");
    for refused in std::mem::take(&mut rig.out) {
        rig.router.refused(refused, &mut rig.out);
    }
    let expected =
        ["1: answer 4 by 2: too many open questions", "1: ended 6 [\"2 Err(\\\"its queue is full\\\")\"]"];
    assert_eq!(rig.seen(), expected);
    assert_eq!(rig.counters(2), Counters { received: 0, sent: 0, dropped: 1 });
    assert_eq!(
        rig.handle(2, ToMaster::Consumed { messages: 1, bytes: 1 }, b""),
        Err(Violation("consumed more messages than it was sent"))
    );
}

#[test]
fn errors_that_wait_for_others_take_no_more_than_a_frame() {
    let mut rig = Rig::ready(64);
    rig.run(1, 1, RunOn::All).expect("the agent may");
    for run in 1..64 {
        let result = Err("e".repeat(MAX_ENVELOPE / 2));
        let done = ToMaster::TaskDone { run: RunId(run), elapsed: Duration::ZERO, result };
        rig.handle(1 + run, done, b"").expect("given");
    }
    let kept = rig.router.tasks.kept();
    assert!((100_000..MAX_ENVELOPE).contains(&kept), "{kept} bytes");
}

#[test]
fn long_errors_are_cut_to_fit_a_frame() {
    let long = || "é".repeat(MAX_ENVELOPE / 2);
    let mut rig = Rig::ready(100);
    rig.ask(1, 1, AskTarget::Pid(Pid(2)));
    let outcome = Err(AskError::Failed(long()));
    rig.handle(2, ToMaster::Answer { question: QuestionId(1), outcome }, b"").expect("asked");
    rig.run(1, 1, RunOn::All).expect("the agent may");
    for run in 1..=100 {
        let done = ToMaster::TaskDone { run: RunId(run), elapsed: Duration::ZERO, result: Err(long()) };
        rig.handle(1 + run, done, b"").expect("given");
    }
    assert!(matches!(rig.out.last().map(|out| &out.frame), Some(ToChild::RunEnded { .. })));
    for out in rig.out {
        let mut bytes = bytes::BytesMut::new();
        encode(&mut bytes, &out.frame, &out.data).expect("fits a frame");
    }
}
