//! Who the processes of each app are. A master that is root gives each app a user of its own, and keeps in the
//! home which; for any other one, and before [`keep_in`], all are the master's.
//!
//! `run` and `serve` say where it is kept, `release` admits apps before anything of them is compiled, `isolation`
//! asks whenever a process is started.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use crate::{
    home::{Asks, Choice, Given, Home, Ids, Keeps, Settings, Tenant, choose},
    manifest::App,
    sys::{sandbox::User, user},
};

struct Tenants {
    home: PathBuf,
    keeps: Keeps,
    /// Those of this master's apps.
    users: Mutex<BTreeMap<String, Ids>>,
    /// Held while one is chosen and written: two apps may come at once.
    choosing: Mutex<()>,
}

static TENANTS: OnceLock<Tenants> = OnceLock::new();

impl Tenants {
    fn users(&self) -> MutexGuard<'_, BTreeMap<String, Ids>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, app: &str) -> anyhow::Result<()> {
        let _alone = self.choosing.lock().unwrap_or_else(PoisonError::into_inner);
        let home = Home::of_another(&self.home)?;
        let settings = Settings::load(&home)?;
        let mut given = Given::load(&home)?;
        if self.keeps == Keeps::Run {
            // What a service of the same home has given is taken; its apps are not these.
            let theirs = given.uids.into_iter().map(|(app, uid)| (format!("{app} of the service"), uid));
            given.uids = theirs.collect();
            given.uids.extend(self.users().iter().map(|(app, ids)| (app.clone(), ids.uid)));
        }
        let asks = Asks { app, home: &self.home, keeps: self.keeps };
        let from = (&settings.tenants.uids, settings.tenant.as_slice());
        let mut choice = choose(asks, from, &given.uids).map_err(anyhow::Error::msg);
        if self.keeps == Keeps::Lasting && !matches!(choice, Ok(Choice::Pinned(_) | Choice::Kept(_))) {
            given.forget_gone(&home, |app| self.users().contains_key(app));
            choice = choose(asks, from, &given.uids).map_err(anyhow::Error::msg);
        }
        let choice = choice?;
        if let (Choice::New(ids), Keeps::Lasting) = (choice, self.keeps) {
            given.uids.insert(app.to_owned(), ids.uid);
            given.save(&home)?;
        }
        let ids = choice.ids();
        if self.users().insert(app.to_owned(), ids) != Some(ids) {
            tracing::debug!(app, uid = ids.uid, gid = ids.gid, "has a user of its own");
        }
        Ok(())
    }
}

/// Where it is kept, and for how long. Once, before the first child.
pub(super) fn keep_in(home: &Path, keeps: Keeps) {
    let (home, users, choosing) = (home.to_owned(), Mutex::default(), Mutex::default());
    let _ = TENANTS.set(Tenants { home, keeps, users, choosing });
}

/// Gives each of these a user, where they are to have their own.
///
/// # Errors
/// None is left, or what is on file can't be read or written.
pub(super) async fn admit(apps: &[App]) -> anyhow::Result<()> {
    let Some(tenants) = TENANTS.get().filter(|_| user::is_root()) else { return Ok(()) };
    let names: Vec<String> = apps.iter().map(|app| app.name.clone()).collect();
    let admitting = spawn_blocking(move || names.iter().try_for_each(|app| tenants.admit(app)));
    admitting.await.context("giving apps their users broke")?.context("an app has no user to run as")
}

/// Who an app's processes are to be. The master's, of one that was not admitted.
pub(super) fn user_of(app: &str) -> User {
    match TENANTS.get().and_then(|tenants| tenants.users().get(app).copied()) {
        Some(Ids { uid, gid }) => User::Tenant { uid, gid },
        None => User::Master,
    }
}

/// Whose an app's compiled code is: its user's. Apps of one tenant have the same. Those of one run are of who runs
/// them, and are compiled once for all of that one's runs, though each has users of its own.
pub(super) fn owner(app: &str) -> u32 {
    let is_lasting = TENANTS.get().is_some_and(|tenants| tenants.keeps == Keeps::Lasting);
    match user_of(app) {
        User::Tenant { uid, .. } if is_lasting => uid,
        User::Tenant { .. } | User::Master => user::effective(),
    }
}

/// Any that an app might get, to see whether that works here. Reads a small file.
///
/// # Errors
/// The settings are not right.
pub(super) fn any() -> anyhow::Result<User> {
    let Some(tenants) = TENANTS.get().filter(|_| user::is_root()) else { return Ok(User::Master) };
    let settings = Settings::load(&Home::of_another(&tenants.home)?)?;
    let uid = settings.tenants.uids.first();
    let Ids { uid, gid } = settings.tenant.first().map_or(Ids { uid, gid: uid }, Tenant::ids);
    Ok(User::Tenant { uid, gid })
}
