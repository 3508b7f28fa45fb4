//! Tells the master what was denied, at most once a second, however often that was. Brokers and children
//! that have none use it; what it says goes out by the caller's link.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::cluster::{Denials, Origin, Why};

/// Between two reports.
pub const EVERY: Duration = Duration::from_secs(1);

/// Origins that are counted apart between two reports; the others are counted together.
pub const MAX_ORIGINS: usize = 16;

/// Collects denials and reports them.
pub struct Reporter {
    report: Box<dyn Fn(Denials) + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    denials: Denials,
    /// A report is on its way.
    is_due: bool,
    reported: Option<Instant>,
}

impl Reporter {
    /// Reports go to `report`.
    pub fn new(report: impl Fn(Denials) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { report: Box::new(report), state: Mutex::default() })
    }

    /// There was one more. To be called in a Tokio runtime.
    pub fn note(self: &Arc<Self>, origin: Origin, why: Why) {
        let mut state = self.lock();
        state.denials.add(origin, why, 1, MAX_ORIGINS);
        if std::mem::replace(&mut state.is_due, true) {
            return;
        }
        let wait = state.reported.map_or(Duration::ZERO, |last| EVERY.saturating_sub(last.elapsed()));
        drop(state);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let mut state = this.lock();
            state.is_due = false;
            state.reported = Some(Instant::now());
            let denials = std::mem::take(&mut state.denials);
            drop(state);
            (this.report)(denials);
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Scheme;

    #[tokio::test]
    async fn one_report_a_second() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let begun = Instant::now();
        let reporter = Reporter::new(move |denials| {
            let _ = tell.send((begun.elapsed(), denials));
        });
        let origin = |port| Origin { scheme: Scheme::Http, host: "a".to_owned(), port };
        reporter.note(origin(1), Why::Manifest);
        let (at, first) = told.recv().await.unwrap();
        assert!(at < EVERY, "the first is told at once");
        assert_eq!(first.counts.len(), 1);
        for port in 0..100 {
            reporter.note(origin(port), Why::Manifest);
            reporter.note(origin(port), Why::Manifest);
        }
        let (at, second) = told.recv().await.unwrap();
        assert!(at >= EVERY, "{at:?}");
        assert_eq!(second.counts.len(), MAX_ORIGINS);
        assert_eq!(second.counts.values().sum::<u64>() + second.more, 200);
        assert!(told.try_recv().is_err());
    }
}
