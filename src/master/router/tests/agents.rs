//! Two agents at once, while one takes over from the other.

use super::*;

/// The agent 1, workers 2 and 3, and 9, which is to be the agent.
fn rig() -> Rig {
    let mut rig = Rig::ready(2);
    rig.add(9, Role::Agent);
    rig
}

/// The new one is ready, and the old one is told to go.
fn hand_over(rig: &mut Rig) {
    rig.joins(9);
    rig.router.draining(Pid(1));
}

#[test]
fn messages_go_to_the_one_that_stays() {
    let mut rig = rig();
    rig.send(2, Target::Agent, "a");
    assert_eq!(rig.seen(), ["1: a from 2"], "until the new one is ready");
    hand_over(&mut rig);
    rig.seen();
    rig.send(2, Target::Agent, "b");
    assert_eq!(rig.seen(), ["9: b from 2"]);
    rig.gone(1);
    rig.send(2, Target::Agent, "c");
    assert_eq!(rig.seen(), ["9: c from 2"]);
}

#[test]
fn one_that_never_starts_leaves_nothing_behind() {
    let mut rig = rig();
    rig.send(2, Target::Broadcast, "a");
    assert_eq!(rig.seen(), ["1: a from 2", "2: a from 2", "3: a from 2"]);
    rig.gone(9);
    rig.add(10, Role::Agent);
    rig.joins(10);
    assert!(!rig.seen().iter().any(|frame| frame.contains("a from 2")), "the first agent has it");
}

#[test]
fn runs_are_each_agents_own() {
    let mut rig = rig();
    rig.run(1, 5, RunOn::All).expect("the agent may");
    hand_over(&mut rig);
    rig.run(9, 5, RunOn::One).expect("numbers are each agent's own");
    rig.seen();
    rig.done(2, 1).expect("given");
    rig.done(3, 2).expect("given");
    assert_eq!(rig.seen(), ["1: ended 5 [\"2 Ok(())\", \"3 Ok(())\"]"]);
    rig.gone(1);
    let to = [2, 3].into_iter().find(|worker| rig.done(*worker, 3).is_ok()).expect("one of them has it");
    assert_eq!(rig.seen(), [format!("9: ended 5 [\"{to} Ok(())\"]")]);
}
