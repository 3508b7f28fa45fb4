//! Verdicts as tables.

use super::*;
use crate::ipc::counters::{Counters, create};

/// (responses, errors among them, traps, crashes, ms of the 98 quickest of a hundred, of the rest).
type Seen = (u64, u64, u64, u64, u64, u64);

fn counts((responses, errors, traps, crashes, quick, slow): Seen) -> Counts {
    let (reader, fd) = create().unwrap();
    let counters = Counters::open(fd).unwrap();
    let begun = Instant::now();
    for number in 0..responses {
        let took = if number % 100 < 98 { quick } else { slow };
        let status = if number < errors { 500 } else { 200 };
        counters.begin(begun).answered(status, begun + Duration::from_millis(took));
    }
    (0..traps).for_each(|_| counters.trapped());
    Counts { seen: reader.snapshot(), crashes }
}

fn pair(old: Seen, new: Seen) -> Pair {
    Pair { old: counts(old), new: counts(new) }
}

#[test]
fn what_is_worse_as_a_table() {
    let cases: [(&str, Seen, Seen, Option<&str>); 22] = [
        ("nothing", (0, 0, 0, 0, 1, 1), (0, 0, 0, 0, 1, 1), None),
        ("all is well", (900, 0, 0, 0, 1, 1), (100, 0, 0, 0, 1, 1), None),
        ("every 20th", (540, 0, 0, 0, 1, 1), (60, 3, 0, 0, 1, 1), Some("5.0 % of its responses are errors")),
        (
            "every 20th, a half each",
            (180, 0, 0, 0, 1, 1),
            (180, 9, 0, 0, 1, 1),
            Some("of the old version's 0.0 %"),
        ),
        ("that may be chance", (60, 0, 0, 0, 1, 1), (60, 3, 0, 0, 1, 1), None),
        ("two errors", (1000, 0, 0, 0, 1, 1), (2, 2, 0, 0, 1, 1), None),
        ("three of three", (1000, 0, 0, 0, 1, 1), (3, 3, 0, 0, 1, 1), Some("100.0 %")),
        ("less than one percent", (100_000, 0, 0, 0, 1, 1), (10_000, 90, 0, 0, 1, 1), None),
        ("the old one errs as much", (1000, 100, 0, 0, 1, 1), (1000, 110, 0, 0, 1, 1), None),
        ("less than twice", (10_000, 1000, 0, 0, 1, 1), (10_000, 2000, 0, 0, 1, 1), None),
        ("more than twice", (10_000, 1000, 0, 0, 1, 1), (10_000, 2200, 0, 0, 1, 1), Some("22.0 %")),
        ("the old one errs always", (100, 100, 0, 0, 1, 1), (100, 100, 0, 0, 1, 1), None),
        ("the old one has no clients", (0, 0, 0, 0, 1, 1), (20, 3, 0, 0, 1, 1), Some("15.0 %")),
        (
            "a trap",
            (1000, 0, 0, 0, 1, 1),
            (100, 1, 1, 0, 1, 1),
            Some("1 traps and 0 crashes, the old version 0"),
        ),
        ("a crash", (1000, 0, 0, 0, 1, 1), (100, 0, 0, 1, 1, 1), Some("0 traps and 1 crashes")),
        ("a crash, and nothing answered", (1000, 0, 0, 0, 1, 1), (0, 0, 0, 1, 1, 1), Some("1 crashes")),
        ("the old one traps as often", (1000, 10, 10, 0, 1, 1), (100, 2, 2, 0, 1, 1), None),
        (
            "the old one traps, seldom",
            (1000, 4, 4, 0, 1, 1),
            (100, 1, 1, 0, 1, 1),
            Some("the old version 4 traps"),
        ),
        ("slow", (1000, 0, 0, 0, 1, 10), (100, 0, 0, 0, 1, 30), Some("its p99 is ")),
        ("slow, too few", (1000, 0, 0, 0, 1, 10), (99, 0, 0, 0, 1, 30), None),
        ("slow, but quick", (1000, 0, 0, 0, 1, 1), (1000, 0, 0, 0, 1, 5), None),
        ("not twice as slow", (1000, 0, 0, 0, 50, 100), (1000, 0, 0, 0, 50, 180), None),
    ];
    for (name, old, new, expected) in cases {
        let Pair { old, new } = pair(old, new);
        let found = worse(&old, &new);
        match expected {
            None => assert_eq!(found, None, "{name}"),
            Some(part) => {
                assert!(found.as_deref().is_some_and(|why| why.contains(part)), "{name}: {found:?}");
            }
        }
    }
}

/// Looks at such moments (in ms) of a canary of five seconds.
fn looks(before: Pair, seen: &[(u64, Pair)]) -> Vec<Verdict> {
    let begin = Instant::now();
    let canary = Canary::new(10, Duration::from_secs(5)).unwrap();
    let mut trial = Trial::new(canary, before, begin);
    seen.iter().map(|(at, pair)| trial.look(begin + Duration::from_millis(*at), || pair.clone())).collect()
}

#[test]
fn one_that_is_fine_is_promoted_at_the_end() {
    let at_end = pair((900, 1, 0, 0, 2, 2), (100, 0, 0, 0, 2, 2));
    let seen: Vec<_> = [999, 1000, 2000, 4999, 5000].map(|at| (at, at_end.clone())).into();
    let verdicts = looks(Pair::default(), &seen);
    assert_eq!(verdicts[..4], [const { Verdict::GoesOn }; 4]);
    let Verdict::Fine(text) = &verdicts[4] else { panic!("{:?}", verdicts[4]) };
    assert!(
        text.starts_with("100 responses, 0 errors, p99 2.0 ms; the old version 900 responses, 1 errors"),
        "{text}"
    );
    assert!(!text.contains("few"), "{text}");
}

#[test]
fn a_quiet_one_is_promoted_and_said_to_be() {
    let verdicts = looks(Pair::default(), &[(5001, pair((0, 0, 0, 0, 1, 1), (3, 2, 0, 0, 1, 1)))]);
    let expected =
        "3 responses, 2 errors, p99 1.0 ms; the old version 0 responses, 0 errors; that is too few";
    assert!(matches!(&verdicts[0], Verdict::Fine(text) if text.starts_with(expected)), "{verdicts:?}");
}

#[test]
fn a_worse_one_is_taken_back_at_once() {
    let fine = pair((90, 0, 0, 0, 1, 1), (10, 0, 0, 0, 1, 1));
    let worse = pair((900, 0, 0, 0, 1, 1), (100, 5, 0, 0, 1, 1));
    for at in [2000, 4000, 5000, 9000] {
        let verdicts = looks(Pair::default(), &[(1000, fine.clone()), (at, worse.clone())]);
        assert_eq!(verdicts[0], Verdict::GoesOn);
        let Verdict::Worse(why) = &verdicts[1] else { panic!("{at}: {:?}", verdicts[1]) };
        assert_eq!(
            why,
            "5.0 % of its responses are errors (5xx), of the old version's 0.0 %; it had answered 100"
        );
    }
}

#[test]
fn what_was_before_does_not_count() {
    let before = pair((1000, 0, 0, 0, 1, 1), (50, 50, 9, 3, 900, 900));
    let verdicts = looks(before.clone(), &[(1000, before)]);
    assert_eq!(verdicts, [Verdict::GoesOn]);
}

#[test]
fn it_is_looked_at_every_second_and_at_the_end() {
    let begin = Instant::now();
    let mut trial = Trial::new(Canary::new(10, Duration::from_millis(2500)).unwrap(), Pair::default(), begin);
    let mut looked = vec![];
    loop {
        let at = trial.deadline();
        looked.push((at - begin).as_millis());
        if trial.look(at, Pair::default) != Verdict::GoesOn {
            break;
        }
    }
    assert_eq!(looked, [1000, 2000, 2500]);
}

#[test]
fn hostile_counts_panic_nowhere() {
    let mut huge = counts((1, 1, 1, 0, 1, 1));
    huge.crashes = u64::MAX;
    huge.seen.requests = u64::MAX;
    huge.seen.traps = u64::MAX;
    huge.seen.responses = [u64::MAX; 5];
    let none = Counts::default();
    for (old, new) in [(&huge, &none), (&none, &huge), (&huge, &huge)] {
        let before = Pair { old: huge.clone(), new: none.clone() };
        let _ = worse(old, new);
        looks(before, &[(1000, Pair { old: old.clone(), new: new.clone() }), (6000, Pair::default())]);
    }
}
