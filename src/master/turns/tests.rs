//! Balances as tables, and shares among tasks of one runtime.

use std::{sync::atomic::AtomicU64, time::Duration};

use proptest::{collection::vec, prelude::*};
use tokio::{task::JoinSet, time::timeout};

use super::*;

/// What happens to a balance that gets 10 a round.
enum Then {
    Spends(usize),
    Round,
}

#[test]
fn a_balance_as_a_table() {
    use Then::{Round, Spends};
    let cases: &[(&str, &[Then], i64)] = &[
        ("it begins with a quantum", &[], 10),
        ("some is left", &[Spends(9)], 1),
        ("nothing is left", &[Spends(10)], 0),
        ("a round gives it back", &[Spends(10), Round], 10),
        ("what is left is not added", &[Spends(3), Round], 10),
        ("nothing is saved up", &[Round, Round, Round], 10),
        ("a debt is paid off", &[Spends(35), Round, Round], -5),
        ("in as many rounds as it takes", &[Spends(35), Round, Round, Round], 5),
        ("a debt of whole rounds leaves nothing", &[Spends(20), Round], 0),
        ("a cost past all bounds", &[Spends(usize::MAX), Spends(usize::MAX), Round], i64::MIN + 10),
    ];
    for (what, happens, expected) in cases {
        let balance = happens.iter().fold(Balance(10), |balance, one| match one {
            Spends(cost) => balance.spent(*cost),
            Round => balance.next_round(10),
        });
        assert_eq!((balance.0, balance.may()), (*expected, *expected > 0), "{what}");
    }
}

proptest! {
    /// Whatever they spend at a time: over many rounds each that takes all it may gets a quantum a round, but
    /// for its last cost.
    #[test]
    fn greedy_apps_get_the_same(costs in vec(1..40_usize, 2..6), rounds in 10..60_usize) {
        let mut apps: Vec<_> = costs.iter().map(|cost| (*cost, Balance(10), 0)).collect();
        for _ in 0..rounds {
            for (cost, balance, got) in &mut apps {
                while balance.may() {
                    *balance = balance.spent(*cost);
                    *got += *cost;
                }
                *balance = balance.next_round(10);
            }
        }
        for (cost, _, got) in apps {
            prop_assert!(got + cost + 10 >= 10 * rounds && got <= 10 * rounds + cost, "{got} of {rounds}");
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
