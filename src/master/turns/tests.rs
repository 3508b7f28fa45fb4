//! Balances as tables, and shares among tasks of one runtime.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use tokio::{task::JoinSet, time::timeout};

use super::*;

/// What happens, and who may go on afterwards: of two apps that get 10 a round.
enum Then {
    Spends(usize, u64),
    Round,
}

#[test]
fn balances_as_a_table() {
    use Then::{Round, Spends};
    let cases: &[(&str, &[Then], [bool; 2])] = &[
        ("both begin with a quantum", &[], [true, true]),
        ("some is left", &[Spends(0, 9)], [true, true]),
        ("nothing is left", &[Spends(0, 10)], [false, true]),
        ("a round gives it back", &[Spends(0, 10), Round], [true, true]),
        ("a debt is paid off", &[Spends(0, 35), Round, Round], [false, true]),
        ("in as many rounds as it takes", &[Spends(0, 35), Round, Round, Round], [true, true]),
        ("a debt of whole rounds takes one more", &[Spends(0, 20), Round], [false, true]),
        ("nothing is saved up", &[Round, Round, Round, Spends(1, 10)], [true, false]),
        ("the other's are its own", &[Spends(0, 100), Spends(1, 9), Round, Spends(1, 9)], [false, true]),
        ("a cost past all bounds", &[Spends(0, u64::MAX), Round], [false, true]),
    ];
    for (what, happens, expected) in cases {
        let mut balances = Balances::new(10);
        let ids = [balances.add(), balances.add()];
        for one in *happens {
            match one {
                Spends(who, cost) => _ = balances.spend(ids[*who], *cost),
                Round => _ = balances.round(),
            }
        }
        assert_eq!(ids.map(|id| balances.may(id)), *expected, "{what}");
        assert_eq!(balances.are_wanting(), expected.contains(&false), "{what}");
    }
}

#[test]
fn a_round_is_asked_for_once_and_names_who_is_free_again() {
    let mut balances = Balances::new(10);
    let (one, other) = (balances.add(), balances.add());
    assert!(!balances.spend(one, 9));
    assert!(balances.spend(one, 5), "that was its last");
    assert!(!balances.spend(one, 5), "it has nothing already");
    assert!(!balances.spend(other, 1));
    assert_eq!(balances.round(), [one]);
    assert_eq!(balances.round(), []);
    balances.remove(one);
    assert!(balances.may(one) && !balances.spend(one, 100), "who is gone holds nobody up");
    assert!(!balances.are_wanting());
}

proptest! {
    /// Whatever they spend at a time: over many rounds each that takes all it may gets a quantum a round, but
    /// for its last cost.
    #[test]
    fn greedy_apps_get_the_same(costs in vec(1..40_u64, 2..6), rounds in 10..60_u64) {
        let mut balances = Balances::new(10);
        let ids: Vec<_> = costs.iter().map(|_| balances.add()).collect();
        let mut got = vec![0; costs.len()];
        for _ in 0..rounds {
            for (at, id) in ids.iter().enumerate() {
                while balances.may(*id) {
                    balances.spend(*id, costs[at]);
                    got[at] += costs[at];
                }
            }
            balances.round();
        }
        for (got, cost) in got.iter().zip(&costs) {
            prop_assert!(*got + cost + 10 >= 10 * rounds && *got <= 10 * rounds + cost, "{got} of {rounds}");
        }
    }
}

/// So many tasks of an app do as much as they can until all have done `TOTAL`. What each app did.
async fn race(turns: &Turns, tasks: &[usize]) -> Vec<u64> {
    const TOTAL: u64 = 20_000;
    let done = Arc::new(AtomicU64::new(0));
    let counts: Vec<_> = tasks.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
    let mut all = JoinSet::new();
    for (count, tasks) in counts.iter().zip(tasks) {
        let share = turns.share();
        for _ in 0..*tasks {
            let (share, done, count) = (share.clone(), done.clone(), count.clone());
            all.spawn(async move {
                while done.fetch_add(1, Relaxed) < TOTAL {
                    share.turn().await;
                    count.fetch_add(1, Relaxed);
                    share.spend(1);
                    // As a socket that has more: the loop's own fairness is by task.
                    if count.load(Relaxed).is_multiple_of(16) {
                        yield_now().await;
                    }
                }
            });
        }
    }
    timeout(Duration::from_secs(20), all.join_all()).await.expect("nobody waits for ever");
    counts.iter().map(|count| count.load(Relaxed)).collect()
}

#[tokio::test]
async fn many_tasks_get_no_more_than_one() {
    let turns = Turns::new(8);
    let got = race(&turns, &[64, 1]).await;
    assert!(got[1] * 2 > got[0], "64 tasks did {}, one {}", got[0], got[1]);
    let got = race(&turns, &[64, 8, 1]).await;
    assert!(got.iter().all(|one| one * 5 > got.iter().sum()), "{got:?}");
}

#[tokio::test]
async fn who_is_alone_waits_for_nobody_and_who_gives_up_holds_nobody_up() {
    let turns = Turns::new(8);
    assert!(race(&turns, &[3]).await[0] >= 20_000);
    let share = turns.share();
    share.spend(1 << 20);
    assert!(timeout(Duration::ZERO, share.turn()).await.is_err(), "a debt is waited for");
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let share = share.clone();
            tokio::spawn(async move { share.turn().await })
        })
        .collect();
    yield_now().await;
    waiting[0].abort();
    for waiting in waiting.into_iter().skip(1) {
        timeout(Duration::from_secs(20), waiting).await.expect("in time").expect("it ends");
    }
}
