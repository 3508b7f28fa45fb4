use std::time::Duration;

use super::*;

fn pair() -> (Reader, Arc<Counters>) {
    let (reader, fd) = create().unwrap();
    (reader, Arc::new(Counters::open(fd).unwrap()))
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn what_is_counted_is_read() {
    let (reader, child) = pair();
    assert_eq!(reader.snapshot(), Snapshot::default());
    let open = child.connected();
    let begin = Instant::now();
    let (slow, gone) = (child.begin(begin), child.begin(begin));
    for status in [200, 204, 404, 503, 999, 0] {
        child.begin(begin).answered(status, begin + ms(2));
    }
    child.refused();
    assert_eq!((child.repeated(), child.repeated()), (1, 2));
    child.trapped();
    let now = reader.snapshot();
    assert_eq!(now.responses, [1, 2, 0, 1, 2], "what is no status counts somewhere");
    assert_eq!((now.requests, now.in_flight, now.connections), (8, 2, 1));
    assert_eq!((now.refused, now.repeated, now.traps, now.errors()), (1, 2, 1, 2));
    assert_eq!(child.requests(), 8);
    drop((gone, open));
    slow.answered(200, begin + ms(2000));
    let later = reader.snapshot();
    assert_eq!((later.in_flight, later.connections, later.answered()), (0, 0, 7));
    let new = later.since(&now);
    assert_eq!((new.requests, new.answered(), new.traps), (0, 1, 0));
    let slowest = new.latency.quantile(0.99).unwrap().as_secs_f64();
    assert!((1.8..2.2).contains(&slowest), "only the slow one is new: {slowest}");
    assert!(now.latency.quantile(0.99).unwrap() < ms(3));
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let (reader, child) = pair();
    let now = Instant::now();
    child.begin(now + ms(1000)).answered(200, now);
    assert!(reader.snapshot().latency.quantile(1.0).unwrap() < ms(1));
}

#[test]
fn those_that_are_gone_keep_their_sums() {
    let (reader, child) = pair();
    let _open = child.connected();
    let now = Instant::now();
    let _in_flight = child.begin(now);
    child.begin(now).answered(500, now + ms(1));
    let mut sum = reader.snapshot().ended();
    assert_eq!((sum.requests, sum.in_flight, sum.connections, sum.errors()), (2, 0, 0, 1));
    sum.add(&reader.snapshot());
    assert_eq!((sum.requests, sum.in_flight, sum.connections, sum.errors()), (4, 1, 1, 2));
    assert!((sum.error_rate() - 1.0).abs() < 1e-9);
    assert!(Snapshot::default().error_rate().abs() < 1e-9);
}

#[test]
fn garbage_is_read_without_a_panic() {
    let (reader, child) = pair();
    for (seed, word) in (0u64..).zip(child.memory.all()) {
        word.store(if seed % 3 == 0 { u64::MAX } else { seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }, Relaxed);
    }
    let one = reader.snapshot();
    for word in child.memory.all() {
        word.store(u64::MAX, Relaxed);
    }
    let mut sum = reader.snapshot();
    sum.add(&one);
    assert_eq!((sum.requests, sum.answered(), sum.errors()), (u64::MAX, u64::MAX, u64::MAX));
    assert_eq!((sum.in_flight, sum.error_rate().is_finite()), (u64::MAX, true));
    for snapshot in [&sum, &one, &one.since(&sum), &sum.since(&one)] {
        for p in [0.0, 0.5, 0.99, 1.0, 7.0, -1.0, f64::NAN] {
            let _ = snapshot.latency.quantile(p);
        }
    }
    assert_eq!(one.since(&sum).answered(), 0, "a counter that went back counts nothing");
    let now = Instant::now();
    child.begin(now).answered(200, now + ms(1));
}
