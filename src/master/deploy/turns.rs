//! Whose turn it is: one job at a time for each app, and none while something is done with all bundles.
//!
//! `deploy` asks it; it starts nothing and knows no job.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::bail;

/// Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The apps with which something is being done.
    apps: BTreeSet<String>,
    /// Is something being done with all of them?
    all: bool,
}

/// An app is this job's alone, or all are, until it is dropped.
pub(super) struct Turn {
    turns: Turns,
    /// `None`: all.
    app: Option<String>,
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn with this app.
    ///
    /// # Errors
    /// Something else is being done with it, or with all.
    pub(super) fn of(&self, app: &str) -> anyhow::Result<Turn> {
        let mut state = self.state();
        if state.all {
            bail!("the store is being pruned; try again when that has ended");
        }
        if !state.apps.insert(app.to_owned()) {
            bail!("something else is being done with {app}; wait for its end, or see `hatchery status`");
        }
        Ok(Turn { turns: self.clone(), app: Some(app.to_owned()) })
    }

    /// A turn with all apps.
    ///
    /// # Errors
    /// Something is being done with one of them, or with all.
    pub(super) fn of_all(&self) -> anyhow::Result<Turn> {
        let mut state = self.state();
        if state.all {
            bail!("the store is being pruned already; wait for its end");
        }
        if let Some(app) = state.apps.first() {
            bail!("something is being done with {app}; prune after that");
        }
        state.all = true;
        Ok(Turn { turns: self.clone(), app: None })
    }

    /// Is something being done with all of them?
    pub(super) fn are_taken(&self) -> bool {
        self.state().all
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        match &self.app {
            Some(app) => {
                state.apps.remove(app);
            }
            None => state.all = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let turns = Turns::default();
        let refused = |turn: anyhow::Result<Turn>| turn.err().unwrap().to_string();
        let (a, b) = (turns.of("a").unwrap(), turns.of("b").unwrap());
        assert!(refused(turns.of("a")).contains("something else is being done with a"));
        assert!(refused(turns.of_all()).contains("something is being done with a; prune after that"));
        drop(a);
        drop(turns.of("a").unwrap());
        assert!(refused(turns.of_all()).contains("with b"));
        drop(b);
        let all = turns.of_all().unwrap();
        assert!(turns.are_taken());
        assert!(refused(turns.of("a")).contains("the store is being pruned"));
        assert!(refused(turns.of_all()).contains("already"));
        drop(all);
        assert!(!turns.are_taken());
        turns.of("a").unwrap();
    }
}
