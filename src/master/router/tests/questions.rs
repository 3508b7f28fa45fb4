//! Questions and their ends.

use super::*;

#[test]
fn questions_as_a_table() {
    let cases: &[(AskTarget, &[&str])] = &[
        (AskTarget::Agent, &["1: question 1 from 2 for 2s"]),
        (AskTarget::Pid(Pid(2)), &["2: question 1 from 2 for 2s"]),
        (AskTarget::Pid(Pid(77)), &["2: answer 5 by nobody: no such process"]),
        (
            AskTarget::App,
            &["2: asked 5 of [2, 3]", "2: question 1 from 2 for 2s", "3: question 2 from 2 for 2s"],
        ),
    ];
    for (to, expected) in cases {
        let mut rig = Rig::ready(2);
        rig.ask(2, 5, *to);
        assert_eq!(rig.seen(), *expected, "{to:?}");
    }
    let mut rig = Rig::ready(2);
    rig.ask(2, 5, AskTarget::App);
    rig.seen();
    rig.answer(3, 2).expect("asked");
    assert_eq!(rig.seen(), ["2: answer 5 by 3: ok"]);
    rig.gone(2);
    assert_eq!(rig.seen(), [""; 0], "the asker is gone");
    rig.ask(3, 6, AskTarget::Agent);
    rig.gone(1);
    assert_eq!(rig.seen()[1..], ["3: answer 6 by 1: no such process"]);
    rig.router.draining(Pid(3));
    rig.ask(3, 7, AskTarget::App);
    assert_eq!(rig.seen(), ["3: answer 7 by nobody: no such process"], "nobody could be asked");
    assert_eq!(rig.router.deadline(), None);
}

#[test]
fn questions_end_in_time() {
    let mut rig = Rig::ready(1);
    rig.ask(2, 5, AskTarget::Agent);
    rig.seen();
    rig.later(Duration::from_millis(2_999));
    assert_eq!(rig.seen(), [""; 0]);
    rig.later(Duration::from_millis(1));
    assert_eq!(rig.seen(), ["2: answer 5 by 1: no answer in time"]);
    rig.answer(1, 1).expect("late, not wrong");
    assert_eq!((rig.seen(), rig.router.late_answers()), (vec![], 1));

    for (timeout, posed) in [(Duration::ZERO, "30s"), (Duration::MAX, "30s"), (Duration::from_secs(1), "1s")]
    {
        let frame = ToMaster::Ask { ask: AskId(1), to: AskTarget::Agent, action: action("q"), timeout };
        rig.handle(2, frame, b"").expect("an honest question");
        assert!(rig.seen()[0].ends_with(&format!("for {posed}")), "{timeout:?} is cut");
    }
}

#[test]
fn questions_wait_for_a_process_that_starts() {
    let mut rig = Rig::ready(1);
    rig.add(3, Role::Worker);
    rig.ask(2, 1, AskTarget::Pid(Pid(3)));
    rig.ask(2, 2, AskTarget::Pid(Pid(3)));
    rig.later(Duration::from_millis(500));
    assert_eq!(rig.answer(3, 1), Err(Violation("answered a question that it was not asked")));
    rig.router.ready(Pid(3), rig.now, &mut rig.out);
    let expected = ["3: question 1 from 2 for 1.5s", "3: question 2 from 2 for 1.5s"];
    assert_eq!(rig.seen(), expected);

    rig.gone(1);
    rig.ask(2, 3, AskTarget::Agent);
    rig.add(4, Role::Agent);
    rig.ask(2, 4, AskTarget::Agent);
    rig.gone(4);
    assert_eq!(rig.seen(), [""; 0], "they wait for the next agent");
    rig.add(5, Role::Agent);
    rig.router.ready(Pid(5), rig.now, &mut rig.out);
    assert_eq!(rig.seen(), ["5: question 3 from 2 for 2s", "5: question 4 from 2 for 2s"]);
    rig.gone(5);
    let expected = ["2: answer 3 by 5: no such process", "2: answer 4 by 5: no such process"];
    assert_eq!(rig.seen(), expected, "an agent that was asked may have acted on it: not asked twice");
    rig.ask(2, 5, AskTarget::Agent);
    rig.later(Duration::from_secs(3));
    let expected = ["2: answer 5 by nobody: no answer in time"];
    assert_eq!(rig.seen()[2..], expected, "the two to 3 ended as well");
}

#[test]
fn open_questions_are_bounded() {
    let mut rig = Rig::ready(1);
    for ask in 0..MAX_OPEN_QUESTIONS as u64 {
        rig.ask(2, ask, AskTarget::Agent);
        let asked = rig.seen();
        if ask >= 153 {
            assert_eq!(asked, [format!("2: answer {ask} by 1: too many open questions")], "its bytes");
        }
    }
    let mut rig = Rig::ready(1);
    rig.router.config.queue_size = usize::MAX;
    for ask in 0..MAX_OPEN_QUESTIONS as u64 {
        rig.ask(2, ask, AskTarget::Agent);
    }
    rig.seen();
    rig.ask(2, 9999, AskTarget::Agent);
    assert_eq!(rig.seen(), ["2: answer 9999 by nobody: too many open questions"]);
    rig.ask(1, 1, AskTarget::Agent);
    assert_eq!(rig.seen(), ["1: question 1025 from 1 for 2s"], "the bound is each asker's");
    rig.answer(1, 1).expect("asked");
    rig.seen();
    rig.ask(2, 10_000, AskTarget::Agent);
    assert_eq!(rig.seen(), ["1: question 1026 from 2 for 2s"]);
}

#[test]
fn a_question_that_waits_keeps_no_read_buffer() {
    for to in [AskTarget::Pid(Pid(3)), AskTarget::Agent] {
        let mut rig = Rig::ready(1);
        rig.add(3, Role::Worker);
        rig.gone(1);
        let read = Bytes::from(vec![b'?'; 1 << 20]);
        let frame = ToMaster::Ask { ask: AskId(1), to, action: action("q"), timeout: Duration::ZERO };
        rig.router.handle(Pid(2), frame, read.slice(..1), rig.now, &mut rig.out).expect("honest");
        assert_eq!(
            rig.seen().iter().filter(|frame| frame.contains("answer 1")).count(),
            0,
            "{to:?}: it waits"
        );
        assert!(read.is_unique(), "{to:?}");
        if to == AskTarget::Agent {
            rig.add(9, Role::Agent);
        }
        for pid in [3, 9] {
            rig.router.ready(Pid(pid), rig.now, &mut rig.out);
        }
        let posed = rig.out.iter().find(|out| matches!(out.frame, ToChild::Question { .. }));
        assert_eq!(posed.map(|out| &out.data[..]), Some(&b"?"[..]), "{to:?}");
    }
}

#[test]
fn a_question_to_an_absent_agent_costs_the_same_however_many_wait() {
    /// Looking at each that waits would take a minute.
    const ENOUGH: Duration = Duration::from_secs(5);
    let mut rig = Rig::ready(64);
    rig.router.config.queue_size = usize::MAX;
    rig.gone(1);
    let begun = Instant::now();
    for asker in 2..66 {
        for ask in 0..MAX_OPEN_QUESTIONS as u64 {
            rig.ask(asker, ask, AskTarget::Agent);
        }
        assert!(begun.elapsed() < ENOUGH, "{} questions wait", asker - 1);
    }
}

#[test]
fn what_waits_for_an_agent_is_bounded_whatever_became_of_it() {
    /// The bytes of so many of the rig's questions fit.
    const FIT: u64 = 151;
    let full = |rig: &mut Rig| {
        rig.seen();
        let mut asked = 0;
        loop {
            rig.ask(2, 5000 + asked, AskTarget::Agent);
            if rig.seen().iter().any(|frame| frame.contains("too many open questions")) {
                return asked;
            }
            asked += 1;
        }
    };
    let mut rig = Rig::ready(2);
    rig.gone(1);
    assert_eq!(full(&mut rig), FIT);
    rig.later(Duration::from_secs(3));
    assert_eq!(full(&mut rig), FIT, "those before were not answered in time");
    // The next one gets them, and answers ten.
    rig.add(9, Role::Agent);
    rig.joins(9);
    (1 + FIT..11 + FIT).for_each(|question| rig.answer(9, question).expect("asked"));
    assert_eq!(full(&mut rig), 10);
    rig.gone(9);
    assert_eq!(full(&mut rig), FIT, "it had been asked them");
    // One that never starts gives back what it was not asked.
    rig.add(10, Role::Agent);
    let more = full(&mut rig);
    assert_eq!(more, FIT, "its own bound");
    rig.gone(10);
    assert_eq!(full(&mut rig), 0);
    rig.gone(2);
    rig.ask(3, 1, AskTarget::Agent);
    assert_eq!(rig.seen().len(), 0, "the asker is gone, and all that it asked");
}
