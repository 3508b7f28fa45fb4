//! Messages: who gets what, in which order, and what is dropped.

use super::*;

#[test]
fn targets_as_a_table() {
    let cases: &[(u64, Target, &[&str])] = &[
        (2, Target::Broadcast, &["1: m from 2", "2: m from 2", "3: m from 2"]),
        (1, Target::Broadcast, &["1: m from 1", "2: m from 1", "3: m from 1"]),
        (3, Target::App, &["2: m from 3", "3: m from 3"]),
        (1, Target::App, &["2: m from 1", "3: m from 1"]),
        (2, Target::Agent, &["1: m from 2"]),
        (1, Target::Agent, &["1: m from 1"]),
        (2, Target::Pid(Pid(2)), &["2: m from 2"]),
        (2, Target::Pid(Pid(1)), &["1: m from 2"]),
        (2, Target::Pid(Pid(99)), &[]),
        (99, Target::Broadcast, &[]),
    ];
    for (from, to, expected) in cases {
        let mut rig = Rig::ready(2);
        rig.send(*from, *to, "m");
        assert_eq!(rig.seen(), *expected, "{from} to {to:?}");
    }
    let mut rig = Rig::empty(false);
    rig.add(2, Role::Worker);
    rig.joins(2);
    rig.router.cluster_ready(&mut rig.out);
    rig.send(2, Target::Agent, "m");
    rig.send(2, Target::Pid(Pid(99)), "m");
    assert_eq!(rig.seen(), ["2: cluster-ready"], "an app without an agent");
    assert_eq!(rig.counters(2), Counters { received: 2, sent: 0, dropped: 2 });
}

#[test]
fn random_is_fair_and_passes_over_who_takes_nothing() {
    let mut rig = Rig::ready(4);
    let mut share = [0; 6];
    for _ in 0..400 {
        rig.send(1, Target::Random, "m");
        let to = usize::try_from(rig.out.pop().expect("delivered").to.0).expect("small");
        share[to] += 1;
        rig.handle(to as u64, ToMaster::Consumed { messages: 1, bytes: 65 }, b"").expect("it had one");
    }
    assert_eq!(share, [0, 0, 100, 100, 100, 100], "each worker once a round");
    rig.router.draining(Pid(2));
    rig.gone(3);
    rig.add(6, Role::Worker);
    for _ in 0..100 {
        rig.send(1, Target::Random, "m");
        assert!((4..=5).contains(&rig.out.pop().expect("delivered").to.0));
    }
    for pid in [4, 5] {
        rig.router.draining(Pid(pid));
    }
    rig.send(1, Target::Random, "m");
    assert_eq!(rig.seen(), [""; 0], "nobody is ready");
    assert_eq!(rig.counters(1).dropped, 1);
}

#[test]
fn random_goes_to_who_has_room() {
    let mut rig = Rig::ready(2);
    for _ in 0..9 {
        rig.send_data(1, Target::Pid(Pid(2)), "m", &[0; 1000]);
    }
    rig.seen();
    for _ in 0..6 {
        rig.send_data(1, Target::Random, "m", &[0; 1000]);
    }
    assert_eq!(rig.seen(), ["3: m from 1"; 6]);
    assert_eq!(rig.counters(2).dropped, 0);
}

#[test]
fn what_is_sent_early_is_kept_in_order() {
    let mut rig = Rig::empty(true);
    rig.add(1, Role::Agent);
    rig.send(1, Target::App, "a");
    rig.router.ready(Pid(1), rig.now, &mut rig.out);
    rig.send(1, Target::Agent, "b");
    rig.add(2, Role::Worker);
    rig.add(3, Role::Worker);
    rig.send(2, Target::Broadcast, "c");
    rig.send(3, Target::Random, "d");
    assert_eq!(rig.seen(), [""; 0]);
    rig.cluster_ready(2);
    let seen = rig.seen();
    let expected = ["2: a from 1", "3: a from 1", "1: b from 1", "1: c from 2", "2: c from 2", "3: c from 2"];
    assert_eq!(seen[..6], expected);
    assert!(seen[6].ends_with(": d from 3") && seen.len() == 7, "{seen:?}");
    rig.send(2, Target::Agent, "e");
    assert_eq!(rig.seen(), ["1: e from 2"]);
}

#[test]
fn early_messages_are_bounded() {
    let mut rig = Rig::empty(true);
    rig.add(1, Role::Agent);
    for _ in 0..20 {
        rig.send_data(1, Target::Agent, "m", &[0; 1000]);
    }
    assert_eq!(rig.counters(1), Counters { received: 20, sent: 0, dropped: 11 });
    rig.cluster_ready(0);
    assert_eq!(rig.seen().len(), 9);
}

#[test]
fn a_slow_receiver_loses_and_nobody_else() {
    let mut rig = Rig::ready(2);
    for _ in 0..12 {
        rig.send_data(1, Target::App, "m", &[0; 1000]);
        rig.handle(3, ToMaster::Consumed { messages: 1, bytes: 1065 }, b"").expect("it had one");
    }
    assert_eq!(rig.counters(2), Counters { received: 0, sent: 9, dropped: 3 });
    assert_eq!(rig.counters(3), Counters { received: 0, sent: 12, dropped: 0 });
    rig.handle(2, ToMaster::Consumed { messages: 2, bytes: 2130 }, b"").expect("it had nine");
    rig.seen();
    rig.send_data(1, Target::App, "m", &[0; 1000]);
    assert_eq!(rig.seen().len(), 2, "there is room again");
    assert_eq!(rig.router.dropped(), 3);
    rig.gone(2);
    assert_eq!(rig.router.dropped(), 3, "the dead are not forgotten");
}

#[test]
fn messages_wait_for_a_process_that_starts() {
    let mut rig = Rig::ready(1);
    rig.gone(1);
    rig.send(2, Target::Agent, "a");
    rig.send(2, Target::Broadcast, "b");
    assert_eq!(rig.seen(), ["2: b from 2"]);
    rig.add(3, Role::Agent);
    rig.send(2, Target::Agent, "c");
    rig.gone(3);
    rig.send(2, Target::Pid(Pid(3)), "lost");
    rig.send(2, Target::Agent, "d");
    rig.add(4, Role::Agent);
    rig.send(2, Target::Agent, "e");
    rig.joins(4);
    rig.send(2, Target::Agent, "f");
    let letters = ["a", "b", "c", "d", "e", "f"].map(|m| format!("4: {m} from 2"));
    assert_eq!(rig.seen(), [&["4: cluster-ready".to_owned()], &letters[..]].concat());

    rig.add(5, Role::Worker);
    rig.send(4, Target::App, "g");
    assert_eq!(rig.seen(), ["2: g from 4"]);
    rig.joins(5);
    assert_eq!(rig.seen(), ["5: cluster-ready", "5: g from 4"], "a worker that starts misses nothing");
    rig.add(6, Role::Worker);
    rig.send(4, Target::Pid(Pid(6)), "h");
    let before = rig.router.dropped();
    rig.gone(6);
    assert_eq!(rig.router.dropped(), before + 1);
}

#[test]
fn what_waits_for_the_agent_is_bounded() {
    let mut rig = Rig::ready(1);
    rig.gone(1);
    for _ in 0..12 {
        rig.send_data(2, Target::Agent, "m", &[0; 1000]);
    }
    assert_eq!(rig.counters(2).dropped, 3);
    rig.add(3, Role::Agent);
    rig.send_data(2, Target::Agent, "m", &[0; 1000]);
    assert_eq!(rig.counters(3).dropped, 1);
    rig.joins(3);
    assert_eq!(rig.seen().len(), 1 + 9);
}

/// `cargo test --release -- --ignored routes_fast --nocapture`
#[test]
#[ignore = "a measurement"]
fn routes_fast() {
    const MESSAGES: u64 = 2_000_000;
    let mut rig = Rig::ready(4);
    rig.router.quota = Quota::new(u32::MAX);
    let data = Bytes::from_static(&[b'x'; 100]);
    let begin = Instant::now();
    for nth in 0..MESSAGES {
        let frame = ToMaster::Send { to: Target::Agent, action: action("refresh") };
        let from = Pid(2 + nth % 4);
        rig.router.handle(from, frame, data.clone(), begin, &mut rig.out).expect("an honest send");
        rig.out.clear();
        let consumed = ToMaster::Consumed { messages: 1, bytes: 171 };
        rig.router.handle(Pid(1), consumed, Bytes::new(), begin, &mut rig.out).expect("it had one");
    }
    let rate = MESSAGES as f64 / begin.elapsed().as_secs_f64();
    println!("{rate:.0} messages/s, each sent and consumed");
}
