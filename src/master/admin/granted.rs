//! Who is granted what at the admin socket: from the settings, looked at again and again. `listen` owns it.

use std::{future::pending, time::Duration};

use anyhow::anyhow;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

use crate::{
    home::{Grants, Home, Settings},
    master::stamp::Stamp,
};

/// How long looking up the users may take until what was granted before no longer holds.
const LOOKUP: Duration = Duration::from_secs(10);

/// After what time that is tried again, where it failed.
const RETRY: Duration = Duration::from_secs(10);

/// What the settings grant; and users that can't be found, who have nothing of it.
pub(super) type Granted = anyhow::Result<(Grants, Vec<String>)>;

/// Finds out what the settings grant, beside the loop: a user's name may have to be asked for far away, and the
/// owner does not wait for that.
#[derive(Default)]
pub(super) struct Asking {
    /// What the settings were when that was found out last.
    seen: Option<Stamp>,
    /// Not all could be found out: then once more.
    again: Option<Instant>,
    /// Since when it is being found out, and of what.
    under_way: Option<(Instant, Stamp, JoinHandle<Granted>)>,
}

impl Asking {
    /// Begins where there is something to find out. What is given holds meanwhile, where that takes long: who was
    /// granted something before may have lost it.
    pub(super) fn look(&mut self, home: &Home, now: Instant) -> Option<Granted> {
        if let Some((since, stamp, _)) = &self.under_way {
            let is_late =
                now.saturating_duration_since(*since) >= LOOKUP && self.seen.as_ref() != Some(stamp);
            let limit = humantime::format_duration(LOOKUP);
            return is_late.then(|| Err(anyhow!("the users of [[admin]] can't be looked up within {limit}")));
        }
        let stamp = Stamp::of(&Settings::file(home));
        let is_due = self.again.is_some_and(|again| again <= now);
        if self.seen.as_ref() != Some(&stamp) || is_due {
            let home = home.clone();
            let asking = spawn_blocking(move || Ok(Grants::look_up(Settings::load(&home)?.admin)));
            self.under_way = Some((now, stamp, asking));
        }
        None
    }

    /// Waits for what is under way; for ever where nothing is.
    pub(super) async fn answer(&mut self) -> Granted {
        let Some((_, _, asking)) = &mut self.under_way else { return pending().await };
        let granted = asking.await.unwrap_or_else(|error| Err(error.into()));
        self.seen = self.under_way.take().map(|(_, stamp, _)| stamp);
        let is_all = granted.as_ref().is_ok_and(|(_, missing)| missing.is_empty());
        self.again = (!is_all).then(|| Instant::now() + RETRY);
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn home(settings: &str) -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        fs::write(Settings::file(&home), settings).unwrap();
        (folder, home)
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_without_a_change() {
        let (_folder, home) = home("[[admin]]\nuser = 'no such user'\nmay = ['read']\n");
        let mut asking = Asking::default();
        assert!(asking.look(&home, Instant::now()).is_none());
        let (_, missing) = asking.answer().await.unwrap();
        assert_eq!(missing.len(), 1);
        assert!(asking.look(&home, Instant::now()).is_none() && asking.under_way.is_none(), "not at once");
        let later = Instant::now() + RETRY;
        assert!(asking.look(&home, later).is_none() && asking.under_way.is_some(), "after a while");
        asking.answer().await.unwrap();
    }

    #[tokio::test]
    async fn what_goes_well_is_not_asked_again() {
        let (_folder, home) = home("[[admin]]\nuid = 7\nmay = ['read']\n");
        let mut asking = Asking::default();
        asking.look(&home, Instant::now());
        let (grants, missing) = asking.answer().await.unwrap();
        assert!(grants.know(7) && missing.is_empty() && asking.again.is_none());
        asking.look(&home, Instant::now());
        assert!(asking.under_way.is_none());
        // Another content is.
        fs::write(Settings::file(&home), "[[admin]]\n").unwrap();
        asking.look(&home, Instant::now());
        asking.answer().await.unwrap_err();
        assert!(asking.again.is_some());
    }

    #[tokio::test]
    async fn what_hangs_takes_away_what_may_no_longer_hold() {
        let (_folder, home) = home("[[admin]]\nuid = 7\nmay = ['read']\n");
        let (hangs, now) = (tokio::spawn(pending()), Instant::now());
        let under_way = Some((now, Stamp::of(&Settings::file(&home)), hangs));
        let mut asking = Asking { under_way, ..Asking::default() };
        assert!(asking.look(&home, now).is_none(), "not at once");
        assert!(asking.look(&home, now + LOOKUP).unwrap().is_err());
        // What was granted by the same file still holds.
        asking.seen = Some(Stamp::of(&Settings::file(&home)));
        assert!(asking.look(&home, now + LOOKUP).is_none());
    }
}
