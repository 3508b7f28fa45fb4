//! Whose turn it is: one job at a time for each app, and none while something is done with all bundles.
//!
//! `deploy` asks it; it starts nothing and knows no job.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{anyhow, bail};
use tokio::{sync::watch, time::timeout};

/// The longest that one waits for the end of a job that was told to end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(60);

/// Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The apps with which something is being done.
    apps: BTreeMap<String, Doing>,
    /// Is something being done with all of them?
    all: bool,
}

/// What is being done with one of them.
struct Doing {
    /// In a word.
    what: &'static str,
    /// Why it is to end. Closed when it has.
    cancel: watch::Sender<Option<String>>,
}

/// An app is this job's alone, or all are, until it is dropped.
pub(super) struct Turn {
    turns: Turns,
    /// `None`: all.
    app: Option<String>,
    /// Somebody wants the job to end.
    cancelled: Option<watch::Receiver<Option<String>>>,
    /// What had to end for it, in a word.
    instead_of: Option<&'static str>,
}

impl Turn {
    /// Why the job is to end; waits for ever where nobody wants that.
    pub(super) async fn cancelled(&self) -> String {
        let Some(mut told) = self.cancelled.clone() else { return pending().await };
        let why = told.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            // The other end lives as long as the turn.
            None => pending().await,
        }
    }

    /// What had to end for it, in a word.
    pub(super) fn instead_of(&self) -> Option<&'static str> {
        self.instead_of
    }
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn with this app, to do this.
    ///
    /// # Errors
    /// Something else is being done with it, or with all.
    pub(super) fn of(&self, app: &str, what: &'static str) -> anyhow::Result<Turn> {
        let mut state = self.state();
        if state.all {
            bail!("the store is being pruned; try again when that has ended");
        }
        if let Some(doing) = state.apps.get(app) {
            bail!(
                "something else is being done with {app} ({}); wait for its end, see `hatchery status`, or end \
                 it with `hatchery rollback {app}`",
                doing.what
            );
        }
        let (cancel, cancelled) = watch::channel(None);
        state.apps.insert(app.to_owned(), Doing { what, cancel });
        let (app, cancelled) = (Some(app.to_owned()), Some(cancelled));
        Ok(Turn { turns: self.clone(), app, cancelled, instead_of: None })
    }

    /// The same; what is being done with it ends first, for this reason.
    ///
    /// # Errors
    /// That does not end in time, or something is being done with all.
    pub(super) async fn instead(&self, app: &str, what: &'static str, why: &str) -> anyhow::Result<Turn> {
        let taking = async {
            let mut instead_of = None;
            while let Some((what, mut ended)) = self.end(app, why) {
                instead_of = Some(what);
                while ended.changed().await.is_ok() {}
            }
            let mut turn = self.of(app, what)?;
            turn.instead_of = instead_of;
            Ok(turn)
        };
        let taken = timeout(CANCEL_TIMEOUT, taking).await;
        taken.map_err(|_| anyhow!("what is being done with {app} does not end; see `hatchery status`"))?
    }

    /// Tells what is being done with it to end, for this reason. Gives what that is, and what is closed then.
    fn end(&self, app: &str, why: &str) -> Option<(&'static str, watch::Receiver<Option<String>>)> {
        let state = self.state();
        let doing = state.apps.get(app)?;
        doing.cancel.send_if_modified(|told| {
            let is_first = told.is_none();
            told.get_or_insert_with(|| why.to_owned());
            is_first
        });
        Some((doing.what, doing.cancel.subscribe()))
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
        if let Some((app, doing)) = state.apps.first_key_value() {
            bail!("something is being done with {app} ({}); prune after that", doing.what);
        }
        state.all = true;
        Ok(Turn { turns: self.clone(), app: None, cancelled: None, instead_of: None })
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

    fn refused(turn: anyhow::Result<Turn>) -> String {
        turn.err().unwrap().to_string()
    }

    #[test]
    fn one_at_a_time() {
        let turns = Turns::default();
        let (a, b) = (turns.of("a", "deploy").unwrap(), turns.of("b", "scale").unwrap());
        let error = refused(turns.of("a", "reload"));
        assert!(error.contains("something else is being done with a (deploy)"), "{error}");
        let error = refused(turns.of_all());
        assert!(error.contains("something is being done with a (deploy); prune after that"), "{error}");
        drop(a);
        drop(turns.of("a", "reload").unwrap());
        assert!(refused(turns.of_all()).contains("with b"));
        drop(b);
        let all = turns.of_all().unwrap();
        assert!(turns.are_taken());
        assert!(refused(turns.of("a", "deploy")).contains("the store is being pruned"));
        assert!(refused(turns.of_all()).contains("already"));
        drop(all);
        assert!(!turns.are_taken());
        turns.of("a", "deploy").unwrap();
    }

    #[tokio::test]
    async fn one_ends_for_another() {
        let turns = Turns::default();
        let free = turns.instead("a", "rollback", "no reason").await.unwrap();
        assert_eq!(free.instead_of(), None);
        drop(free);
        let first = turns.of("a", "deploy").unwrap();
        let job = tokio::spawn(async move { first.cancelled().await });
        let second = turns.instead("a", "rollback", "a rollback came").await.unwrap();
        assert_eq!(job.await.unwrap(), "a rollback came");
        assert_eq!(second.instead_of(), Some("deploy"));
        // One that does not listen keeps its turn, and the one after that gets no other.
        let waiting = turns.instead("a", "undeploy", "another reason");
        assert!(timeout(Duration::from_millis(20), waiting).await.is_err());
        assert!(turns.of("a", "deploy").is_err());
        drop(second);
        let all = turns.of_all().unwrap();
        assert!(refused(turns.instead("a", "undeploy", "x").await).contains("is being pruned"));
        drop(all);
    }
}
