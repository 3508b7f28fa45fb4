//! Which app was given which user: one small file, replaced as a whole. `master::tenants` reads it before it
//! chooses and writes it before what is new is used.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{Home, read::read, write};

/// The most bytes of the file; far more than the apps that may be in it take.
const MAX_FILE: u64 = 8 << 20;

/// What is on file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// By app.
    pub uids: BTreeMap<String, u32>,
}

impl Given {
    /// Empty where there is no file.
    ///
    /// # Errors
    /// It can't be read, or isn't one of ours: then nobody knows who has which.
    pub fn load(home: &Home) -> anyhow::Result<Self> {
        let file = file(home);
        let Some(text) = read(&file, MAX_FILE)? else { return Ok(Self::default()) };
        let given: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is damaged; mend it, or remove it and restart, and apps get other users",
                file.display()
            )
        })?;
        let different: BTreeSet<_> = given.uids.values().collect();
        if different.len() != given.uids.len() {
            bail!("{} gives two apps one user; mend it, or remove it and restart", file.display());
        }
        Ok(given)
    }

    /// Forgets apps of which nothing is left in the home, but those that are `alive`.
    pub fn forget_gone(&mut self, home: &Home, alive: impl Fn(&str) -> bool) {
        self.uids.retain(|app, _| alive(app) || home.apps().join(app).symlink_metadata().is_ok());
    }

    /// Replaces the file, and returns when that will last.
    ///
    /// # Errors
    /// The system's own.
    pub fn save(&self, home: &Home) -> anyhow::Result<()> {
        let file = file(home);
        let text = serde_json::to_vec_pretty(self).context("cannot encode the tenants")?;
        write::replace(&file, &text).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn file(home: &Home) -> PathBuf {
    home.folder().join("tenants.json")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_comes_back_until_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert_eq!(Given::load(&home).unwrap(), Given::default());
        let uids = [("here", 1), ("gone", 2), ("alive", 3)].map(|(app, uid)| (app.to_owned(), uid));
        let mut given = Given { uids: uids.into() };
        given.save(&home).unwrap();
        assert_eq!(Given::load(&home).unwrap(), given);
        fs::create_dir(home.apps().join("here")).unwrap();
        given.forget_gone(&home, |app| app == "alive");
        assert_eq!(given.uids.keys().collect::<Vec<_>>(), ["alive", "here"]);
        for (text, expected) in
            [("{", "is damaged"), ("{\"uids\": {\"a\": 1, \"b\": 1}}", "gives two apps one user")]
        {
            fs::write(file(&home), text).unwrap();
            assert!(Given::load(&home).unwrap_err().to_string().contains(expected), "{text}");
        }
    }
}
