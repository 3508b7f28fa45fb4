//! What a canary and what serves beside it get.

use super::*;

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
