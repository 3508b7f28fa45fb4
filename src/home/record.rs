//! What of an app is deployed, and what was: one file per app, replaced as a whole.
//!
//! The master reads all at its start and brings back what they say; it alone writes them.

use std::{fs, num::NonZeroU32, path::PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{Home, Prepared, create, read::read, write};

/// Entries of its history that an app keeps.
const MAX_HISTORY: usize = 100;

/// The most bytes of a record that are read; far more than one has.
const MAX_RECORD: u64 = 1 << 20;

/// The most bytes of a reason that is kept.
const MAX_REASON: usize = 1000;

/// Of one app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What serves. `None`: it was taken away.
    pub deployed: Option<Deployed>,
    /// The number of workers that the user asked for, in place of the manifest's.
    pub workers: Option<NonZeroU32>,
    /// What was done, the oldest first, the last 100.
    pub history: Vec<Entry>,
}

/// What serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The bundle's.
    pub digest: String,
    /// As its manifest has it.
    pub version: String,
}

/// One deploy, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it ended, RFC 3339. Of what went well, when its bundle was found to be right: the entry is written
    /// beside the record before anything is compiled, so that a full disk is found in time.
    pub at: String,
    /// Who asked for it.
    pub uid: u32,
    /// What was asked for: `deploy`, `rollback`, `undeploy`, `scale`.
    pub action: String,
    /// The bundle's, where there is one.
    pub digest: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Why it failed. `None`: it did not.
    pub failure: Option<String>,
}

impl Record {
    /// What is on file, empty where there is nothing.
    ///
    /// # Errors
    /// The file can't be read, or isn't one of ours.
    pub fn load(home: &Home, app: &str) -> anyhow::Result<Self> {
        let file = file(home, app);
        let Some(text) = read(&file, MAX_RECORD)? else { return Ok(Self::default()) };
        serde_json::from_str(&text).with_context(|| {
            format!("{} is damaged; mend or remove it, and deploy {app} again", file.display())
        })
    }

    /// The names of the apps that have a record, in order.
    ///
    /// # Errors
    /// The home can't be read.
    pub fn names(home: &Home) -> anyhow::Result<Vec<String>> {
        let mut names = vec![];
        for entry in fs::read_dir(home.apps()).context("cannot read the home's apps")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if file(home, &name).exists() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Adds to the history.
    pub fn note(&mut self, mut entry: Entry) {
        if let Some(failure) = &mut entry.failure {
            failure.truncate(failure.floor_char_boundary(MAX_REASON));
        }
        self.history.push(entry);
        let over = self.history.len().saturating_sub(MAX_HISTORY);
        self.history.drain(..over);
    }

    /// The bundle that was deployed before the present one, and went well.
    #[must_use]
    pub fn previous(&self) -> Option<Deployed> {
        let now = self.deployed.as_ref().map(|deployed| &deployed.digest);
        self.history.iter().rev().find_map(|entry| {
            let (Some(digest), Some(version), None) = (&entry.digest, &entry.version, &entry.failure) else {
                return None;
            };
            let other = Some(digest) != now;
            other.then(|| Deployed { digest: digest.clone(), version: version.clone() })
        })
    }

    /// The bundles that it names and that went well, the last first, each once.
    #[must_use]
    pub fn bundles(&self) -> Vec<String> {
        let mut found: Vec<String> = self.deployed.iter().map(|deployed| deployed.digest.clone()).collect();
        for entry in self.history.iter().rev().filter(|entry| entry.failure.is_none()) {
            if let Some(digest) = &entry.digest
                && !found.contains(digest)
            {
                found.push(digest.clone());
            }
        }
        found
    }

    /// Writes it beside what is on file, which it replaces when it is committed: by then there can't
    /// be too little room any more.
    ///
    /// # Errors
    /// The system's own.
    pub fn prepare(&self, home: &Home, app: &str) -> anyhow::Result<Prepared> {
        if app.is_empty() || app.contains('/') || app.starts_with('.') {
            bail!("{app:?} is no name of an app");
        }
        let file = file(home, app);
        create(&home.apps().join(app))?;
        let text = serde_json::to_vec_pretty(self).context("cannot encode a record")?;
        write::prepare(&file, &text).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn file(home: &Home, app: &str) -> PathBuf {
    home.apps().join(app).join("app.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digest: &str, failure: Option<&str>) -> Entry {
        Entry {
            at: "2026-11-20T00:00:00Z".to_owned(),
            uid: 0,
            action: "deploy".to_owned(),
            digest: Some(digest.to_owned()),
            version: Some(format!("of {digest}")),
            failure: failure.map(str::to_owned),
        }
    }

    #[test]
    fn what_was_there_before() {
        let mut record = Record::default();
        assert_eq!(record.previous(), None);
        for (digest, failure) in [("a", None), ("b", None), ("c", Some("broken")), ("b", None)] {
            record.note(entry(digest, failure));
        }
        record.deployed = Some(Deployed { digest: "b".to_owned(), version: "of b".to_owned() });
        assert_eq!(record.previous().unwrap().digest, "a");
        assert_eq!(record.bundles(), ["b", "a"]);
    }

    #[test]
    fn it_comes_back_and_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert_eq!(Record::load(&home, "cache").unwrap(), Record::default());
        let mut record = Record::default();
        for number in 0..MAX_HISTORY + 7 {
            record.note(entry(&number.to_string(), Some(&"ß".repeat(MAX_REASON))));
        }
        assert_eq!(record.history.len(), MAX_HISTORY);
        assert_eq!(record.history[0].digest.as_deref(), Some("7"));
        record.prepare(&home, "cache").unwrap().commit().unwrap();
        assert_eq!(Record::load(&home, "cache").unwrap(), record);
        assert_eq!(Record::names(&home).unwrap(), ["cache"]);
        fs::write(file(&home, "cache"), "{").unwrap();
        assert!(Record::load(&home, "cache").unwrap_err().to_string().contains("is damaged"));
        for name in ["", "..", "a/b"] {
            assert!(record.prepare(&home, name).is_err());
        }
    }
}
