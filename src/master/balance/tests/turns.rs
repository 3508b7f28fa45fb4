//! Whose turn it is, and who is passed over.

use super::*;

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
