//! `message-rate`: what an app may send, together.

use super::*;

fn slow(rate: u32) -> Rig {
    let mut rig = Rig::ready(2);
    rig.router.quota = Quota::new(rate);
    rig
}

#[test]
fn past_the_rate_messages_are_dropped_and_their_sender_is_told() {
    let mut rig = slow(8);
    for _ in 0..6 {
        rig.send(2, Target::Agent, "m");
    }
    assert_eq!(rig.seen(), ["1: m from 2"; 6]);
    for _ in 0..4 {
        rig.send(2, Target::Agent, "m");
    }
    assert_eq!(rig.seen(), ["2: Hush { pause: 375ms }", "1: m from 2", "1: m from 2"]);
    assert_eq!(rig.counters(2).dropped, 2);
    assert_eq!(rig.router.rate(rig.now), (2, 8));
    // A question has an answer.
    rig.ask(3, 1, AskTarget::Agent);
    assert_eq!(rig.seen(), ["3: Hush { pause: 500ms }", "3: answer 1 by nobody: too many open questions"]);
    rig.later(Duration::from_secs(1));
    rig.send(2, Target::Agent, "m");
    assert_eq!(rig.seen(), ["1: m from 2"]);
}

#[test]
fn each_receiver_counts_and_size_does() {
    let mut rig = slow(8);
    rig.send(2, Target::Broadcast, "m");
    rig.send(2, Target::App, "m");
    assert_eq!(rig.router.rate(rig.now), (0, 5));
    rig.send(2, Target::Broadcast, "m");
    rig.send(2, Target::Broadcast, "m");
    assert_eq!(rig.router.rate(rig.now), (1, 8));
}
