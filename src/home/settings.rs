//! What the user decides for a whole home, in `settings.toml`. Read anew for each use: who edits it
//! need not restart anything.

use std::{fs, io, io::Read as _};

use anyhow::Context as _;
use serde::Deserialize;

use super::Home;
use crate::sys::sandbox::{self, Isolation};

/// Bundles of each app that are kept when the store is pruned, beside the deployed one.
pub const KEEP: usize = 5;

/// The most bytes of the file.
const MAX_SETTINGS: u64 = 256 << 10;

/// The file, checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Public keys whose signatures count, as `hatchery keygen` prints them.
    pub trusted_keys: Vec<String>,
    /// Is a bundle refused that none of them has signed?
    pub require_signature: bool,
    /// How many bundles of an app `store prune` keeps beside the deployed one.
    pub keep: usize,
    /// How much of the sandbox must hold. By default all of it with `require-signature`, and else as much
    /// as the machine allows.
    pub isolation: Option<Isolation>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { trusted_keys: vec![], require_signature: false, keep: KEEP, isolation: None }
    }
}

impl Settings {
    /// What holds where the command line does not say.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        let by_default = if self.require_signature { Isolation::Strict } else { Isolation::BestEffort };
        self.isolation.unwrap_or(by_default)
    }

    /// The home's; the defaults where there is no file.
    ///
    /// # Errors
    /// The file can't be read or isn't right: then nothing may be deployed, as it may forbid it.
    pub fn load(home: &Home) -> anyhow::Result<Self> {
        // It may be a link, to what lies elsewhere in a process that is shut in.
        let file = sandbox::place(&home.folder().join("settings.toml"));
        let shown = file.display();
        let mut text = String::new();
        match fs::File::open(&file) {
            Ok(opened) => opened.take(MAX_SETTINGS).read_to_string(&mut text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => Err(error),
        }
        .with_context(|| format!("cannot read {shown}"))?;
        toml::from_str(&text).with_context(|| format!("{shown} is not right"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_as_a_table() {
        for (text, expected) in [
            ("", Isolation::BestEffort),
            ("require-signature = true", Isolation::Strict),
            ("require-signature = true\nisolation = \"best-effort\"", Isolation::BestEffort),
            ("isolation = \"strict\"", Isolation::Strict),
        ] {
            assert_eq!(toml::from_str::<Settings>(text).unwrap().isolation(), expected, "{text}");
        }
    }

    #[test]
    fn settings_as_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert_eq!(Settings::load(&home).unwrap(), Settings::default());
        for (text, right) in [
            ("", true),
            ("require-signature = true\ntrusted-keys = [\"RWQ\"]\nkeep = 2\n", true),
            ("isolation = \"strict\"\n", true),
            ("isolation = \"some\"\n", false),
            ("require_signature = true\n", false),
            ("keep = \"2\"\n", false),
            ("keep = ", false),
        ] {
            fs::write(folder.path().join("settings.toml"), text).unwrap();
            assert_eq!(Settings::load(&home).is_ok(), right, "{text}");
        }
    }
}
