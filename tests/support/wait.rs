//! Waiting for something, never longer than a deadline.

use std::time::{Duration, Instant};

use futures::future::join_all;

/// For what takes a moment on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until it is so; false when it is not by the deadline.
pub(crate) async fn in_time(deadline: Duration, mut look: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if look().await {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks until it is so.
///
/// # Panics
/// When it is not within [`DEADLINE`]; `what` says what was waited for.
pub(crate) async fn eventually(what: &str, look: impl AsyncFnMut() -> bool) {
    assert!(in_time(DEADLINE, look).await, "not within {DEADLINE:?}: {what}");
}

/// Looks until there is something.
///
/// # Panics
/// When there is nothing within [`DEADLINE`].
pub(crate) async fn eventually_some<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut found = None;
    let seen = in_time(DEADLINE, async || {
        found = look().await;
        found.is_some()
    });
    assert!(seen.await, "not within {DEADLINE:?}: {what}");
    found.expect("it was seen")
}

/// Runs it for each, beside each other: for tests that wait more than they compute.
pub(crate) async fn side_by_side<T>(all: impl IntoIterator<Item = T>, run: impl AsyncFn(T)) {
    join_all(all.into_iter().map(|one| run(one))).await;
}

/// Each of the one with each of the other.
pub(crate) fn pairs<A: Copy, B: Copy>(some: &[A], others: &[B]) -> Vec<(A, B)> {
    some.iter().flat_map(|one| others.iter().map(|other| (*one, *other))).collect()
}
