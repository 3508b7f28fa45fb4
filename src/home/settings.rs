//! What the user decides for a whole home, in `settings.toml`. Read anew for each use: who edits it
//! need not restart anything.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Context as _;
use bytesize::ByteSize;
use serde::Deserialize;

use super::{Home, May, SecretSettings, Tenant, TenantSettings, Whom, grant::Grant, read::read};
use crate::sys::sandbox::Isolation;

/// Bundles of each app that are kept when the store is pruned, beside the deployed one.
const KEEP: usize = 5;

/// See [`UploadSettings`]: one bundle of the largest, and another.
const UNDEPLOYED: u64 = 2 << 30;
const KEEP_FREE: u64 = 1 << 30;

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
    /// What other users may do at the admin socket.
    pub admin: Vec<Grant>,
    /// How much of the sandbox must hold. By default all of it with `require-signature` and where there is more
    /// than one tenant, and else as much as the machine allows.
    pub isolation: Option<Isolation>,
    /// Where secrets come from beside the home's files.
    pub secrets: SecretSettings,
    /// What users apps get of their own, where the master is root.
    pub tenants: TenantSettings,
    /// Whose users are the user's choice.
    pub tenant: Vec<Tenant>,
    /// How much others than the owner may bring.
    pub uploads: UploadSettings,
}

/// The `[uploads]` table: bounds for users who may deploy some app, and not everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct UploadSettings {
    /// The most bytes of one user's bundles that no app has been deployed from; the oldest ones go.
    pub undeployed: ByteSize,
    /// With less room than that on the home's disk they bring nothing.
    pub keep_free: ByteSize,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self { undeployed: ByteSize(UNDEPLOYED), keep_free: ByteSize(KEEP_FREE) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trusted_keys: vec![],
            require_signature: false,
            keep: KEEP,
            admin: vec![],
            isolation: None,
            secrets: SecretSettings::default(),
            tenants: TenantSettings::default(),
            tenant: vec![],
            uploads: UploadSettings::default(),
        }
    }
}

impl Settings {
    /// What holds where the command line does not say.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        let is_strict = self.require_signature || self.has_tenants();
        let by_default = if is_strict { Isolation::Strict } else { Isolation::BestEffort };
        self.isolation.unwrap_or(by_default)
    }

    /// Do they name more than one tenant? Apps are pinned to different users; or there are several users who may
    /// deploy, those excepted who may do everything. What apps are given by themselves does not count: a machine
    /// on which a part can't be had could not run two apps then.
    fn has_tenants(&self) -> bool {
        let pinned: BTreeSet<u32> = self.tenant.iter().map(|tenant| tenant.uid).collect();
        let those_with = |has: fn(&May) -> bool| -> BTreeSet<&Whom> {
            self.admin.iter().filter(|grant| grant.may.iter().any(has)).map(|grant| &grant.whom).collect()
        };
        let deployers = those_with(|may| matches!(may, May::Deploy(_)));
        let admins = those_with(|may| matches!(may, May::Admin));
        pinned.len() > 1 || deployers.difference(&admins).count() > 1
    }

    /// Where the home's are.
    #[must_use]
    pub fn file(home: &Home) -> PathBuf {
        home.folder().join("settings.toml")
    }

    /// The home's; the defaults where there is no file.
    ///
    /// # Errors
    /// The file can't be read or isn't right: then nothing may be deployed, as it may forbid it.
    pub fn load(home: &Home) -> anyhow::Result<Self> {
        let file = Self::file(home);
        let Some(text) = read(&file, MAX_SETTINGS)? else { return Ok(Self::default()) };
        toml::from_str(&text).with_context(|| format!("{} is not right", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn isolation_as_a_table() {
        for (text, expected) in [
            ("", Isolation::BestEffort),
            ("require-signature = true", Isolation::Strict),
            ("require-signature = true\nisolation = \"best-effort\"", Isolation::BestEffort),
            ("isolation = \"strict\"", Isolation::Strict),
            ("[tenants]\nuids = \"20000-29999\"", Isolation::BestEffort),
            ("[[tenant]]\napps = [\"*\"]\nuid = 7", Isolation::BestEffort),
            (
                "[[tenant]]\napps = [\"a\"]\nuid = 7\n[[tenant]]\napps = [\"b\"]\nuid = 7",
                Isolation::BestEffort,
            ),
            ("[[tenant]]\napps = [\"a\"]\nuid = 7\n[[tenant]]\napps = [\"b\"]\nuid = 8", Isolation::Strict),
            (
                "isolation = \"best-effort\"\n[[tenant]]\napps = [\"a\"]\nuid = 7\n[[tenant]]\napps = [\"b\"]\n\
                 uid = 8",
                Isolation::BestEffort,
            ),
            ("[[admin]]\nuid = 7\nmay = [\"deploy a\", \"deploy b\"]", Isolation::BestEffort),
            (
                "[[admin]]\nuid = 7\nmay = [\"deploy a\"]\n[[admin]]\nuid = 7\nmay = [\"deploy b\"]",
                Isolation::BestEffort,
            ),
            (
                "[[admin]]\nuid = 7\nmay = [\"deploy a\"]\n[[admin]]\nuid = 8\nmay = [\"read\"]",
                Isolation::BestEffort,
            ),
            (
                "[[admin]]\nuid = 7\nmay = [\"deploy a\"]\n[[admin]]\nuid = 8\nmay = [\"admin\", \"deploy a\"]",
                Isolation::BestEffort,
            ),
            (
                "[[admin]]\nuid = 7\nmay = [\"deploy a\"]\n[[admin]]\nuid = 8\nmay = [\"deploy a\"]",
                Isolation::Strict,
            ),
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
            ("[[admin]]\nuid = 1001\nmay = [\"read\", \"deploy shop\"]\n", true),
            ("[[admin]]\nuid = 1001\nmay = [\"everything\"]\n", false),
            ("isolation = \"strict\"\n", true),
            ("[tenants]\nuids = \"20000-29999\"\n[[tenant]]\napps = [\"a\"]\nuid = 7\n", true),
            ("[[tenant]]\napps = [\"a\"]\nuid = 0\n", false),
            ("isolation = \"some\"\n", false),
            ("require_signature = true\n", false),
            ("keep = \"2\"\n", false),
            ("keep = ", false),
            ("[uploads]\nundeployed = \"100MiB\"\nkeep-free = \"10GiB\"\n", true),
            ("[uploads]\nundeployed = \"much\"\n", false),
        ] {
            fs::write(folder.path().join("settings.toml"), text).unwrap();
            assert_eq!(Settings::load(&home).is_ok(), right, "{text}");
        }
    }
}
