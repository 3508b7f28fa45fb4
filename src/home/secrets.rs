//! What apps get as secrets: values that no bundle, manifest, log or status ever has.
//!
//! ```text
//!   HOME/secrets/APP/NAME      0600, its user's; written by `hatchery secret set`
//!   the master's environment   where settings.toml names it: [secrets] from-environment
//! ```
//!
//! The master reads them for each release, so that a deploy or a reload takes what has changed, and
//! hands them to a child in its first frame. The command line writes them.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Read as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::{Home, Settings, write};
use crate::{
    cluster::Role,
    manifest::{App, Secret, Secrets, is_secret_name},
    sys::{spawn, user},
};

/// The most bytes of one secret.
pub const MAX_SECRET: usize = 16 << 10;

/// The most bytes of all secrets of a process: they are part of its first frame.
pub const MAX_SECRETS_BYTES: usize = 256 << 10;

/// The secrets of each role of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppSecrets {
    agent: Secrets,
    worker: Secrets,
}

impl AppSecrets {
    /// What a process of this role gets.
    #[must_use]
    pub fn of(&self, role: Role) -> &Secrets {
        match role {
            Role::Agent => &self.agent,
            Role::Worker => &self.worker,
        }
    }

    /// Reads what the app's manifest names. Reads files: not for the master's loop.
    ///
    /// # Errors
    /// One is missing, or what is there can't be used; it is named, and where it would be.
    pub fn read(home: &Path, app: &App) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for (role, component) in app.components() {
            let names = &component.capabilities.secrets;
            let secrets = names.iter().map(|name| {
                let secret = read(home, &app.name, name);
                secret.map(|secret| (name.clone(), secret)).with_context(|| {
                    format!("the {role} of {} needs the secret {name} (`{role}.secrets`)", app.name)
                })
            });
            let secrets: Secrets = secrets.collect::<anyhow::Result<_>>()?;
            let bytes: usize = secrets.values().map(|secret| secret.expose().len()).sum();
            if bytes > MAX_SECRETS_BYTES {
                bail!("the secrets of {} have more than {MAX_SECRETS_BYTES} bytes together", app.name);
            }
            *match role {
                Role::Agent => &mut found.agent,
                Role::Worker => &mut found.worker,
            } = secrets;
        }
        Ok(found)
    }
}

/// The file comes first.
fn read(home: &Path, app: &str, name: &str) -> anyhow::Result<Secret> {
    let file = file(home, app, name);
    let shown = file.display();
    let found = match fs::symlink_metadata(&file) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return from_environment(home, app, name),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {shown}")),
    };
    if !found.is_file() || found.uid() != user::effective() {
        bail!("{shown} is not a file of this user");
    }
    if found.mode() & 0o077 != 0 {
        bail!("others can read or write {shown}; run: chmod 600 {shown}");
    }
    let mut bytes = vec![];
    fs::File::open(&file)
        .and_then(|opened| opened.take(MAX_SECRET as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {shown}"))?;
    checked(bytes).with_context(|| format!("cannot use {shown}"))
}

fn from_environment(home: &Path, app: &str, name: &str) -> anyhow::Result<Secret> {
    let file = file(home, app, name);
    let settings = Settings::load(&Home::open(home)?)?.secrets;
    let missing = "put it there with `hatchery secret set";
    if !settings.from_environment.contains(name) {
        bail!("there is no {}; {missing} {app} {name}`", file.display());
    }
    if spawn::ENV.contains(&name) || name.starts_with(spawn::ENV_PREFIX) {
        bail!(
            "every process sees the master's variable {name}: it can't be a secret; {missing} {app} {name}`"
        );
    }
    match std::env::var_os(name) {
        Some(value) => {
            let bytes = value.into_encoded_bytes();
            checked(bytes).with_context(|| format!("cannot use the master's variable {name}"))
        }
        None => bail!(
            "there is no {}, nor has the master's environment a variable {name}; {missing} {app} {name}`",
            file.display()
        ),
    }
}

/// The errors say nothing of what is in it.
fn checked(bytes: Vec<u8>) -> anyhow::Result<Secret> {
    if bytes.len() > MAX_SECRET {
        bail!("a secret has at most {MAX_SECRET} bytes");
    }
    if bytes.contains(&0) {
        bail!("a secret has no null characters");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => bail!("a secret is UTF-8; encode it, as base64 for example"),
    }
}

fn folder(home: &Path, app: &str) -> PathBuf {
    home.join("secrets").join(app)
}

fn file(home: &Path, app: &str, name: &str) -> PathBuf {
    folder(home, app).join(name)
}

/// Keeps a value, and gives the file.
///
/// # Errors
/// The name or the value can't be a secret's, or it can't be written.
pub fn set(home: &Path, app: &str, name: &str, value: Vec<u8>) -> anyhow::Result<PathBuf> {
    if !is_secret_name(name) {
        bail!("{name:?} can't be the name of a secret: write letters, digits and `_`, no digit first");
    }
    let secret = checked(value)?;
    let folder = folder(home, app);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let file = folder.join(name);
    write::replace(&file, secret.expose().as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The names of an app's secrets that the home has.
///
/// # Errors
/// The folder can't be read.
pub fn names(home: &Path, app: &str) -> anyhow::Result<BTreeSet<String>> {
    let folder = folder(home, app);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| is_secret_name(name)).collect())
}

/// Forgets a value.
///
/// # Errors
/// There is none of this name, or it can't be removed.
pub fn remove(home: &Path, app: &str, name: &str) -> anyhow::Result<()> {
    if !is_secret_name(name) {
        bail!("{name:?} can't be the name of a secret");
    }
    let file = file(home, app, name);
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// The `[secrets]` table of settings.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SecretSettings {
    /// The variables of the master's environment that apps may ask for as secrets.
    pub from_environment: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::manifest;

    /// A home, and an app that needs one secret for its worker.
    fn rig() -> (tempfile::TempDir, App) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("w.wasm"), "").unwrap();
        let text = "name = 'a'\nversion = '1'\n[worker]\ncomponent = 'w.wasm'\nlisten = '127.0.0.1:0'\nsecrets = ['KEY']";
        fs::write(folder.path().join("hatchery.toml"), text).unwrap();
        let app = manifest::load(folder.path()).unwrap();
        (folder, app)
    }

    #[test]
    fn files_as_a_table() {
        let (home, app) = rig();
        let read = || AppSecrets::read(home.path(), &app).map_err(|error| format!("{error:#}"));
        let missing = read().unwrap_err();
        assert!(missing.starts_with("the worker of a needs the secret KEY (`worker.secrets`): there is no "));
        assert!(
            missing.contains("secrets/a/KEY; put it there with `hatchery secret set a KEY`"),
            "{missing}"
        );
        let file = set(home.path(), "a", "KEY", b"one".to_vec()).unwrap();
        assert_eq!(read().unwrap().of(Role::Worker)["KEY"].expose(), "one");
        assert!(read().unwrap().of(Role::Agent).is_empty());
        for (content, mode, expected) in [
            (b"two".to_vec(), 0o600, None),
            (b"two".to_vec(), 0o400, None),
            (b"two".to_vec(), 0o640, Some("run: chmod 600")),
            (b"two".to_vec(), 0o602, Some("run: chmod 600")),
            (vec![b'x'; MAX_SECRET], 0o600, None),
            (vec![b'x'; MAX_SECRET + 1], 0o600, Some("at most 16384 bytes")),
            (b"a\0b".to_vec(), 0o600, Some("no null")),
            (b"\xff".to_vec(), 0o600, Some("is UTF-8")),
        ] {
            fs::remove_file(&file).unwrap();
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = read().err();
            assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
            assert!(error.is_none_or(|error| error.contains(expected.unwrap())), "{mode:o}");
        }
        fs::rename(&file, home.path().join("other")).unwrap();
        symlink(home.path().join("other"), &file).unwrap();
        assert!(read().is_err(), "a link may lead anywhere");
    }

    #[test]
    fn the_environment_only_where_it_is_allowed() {
        let (home, mut app) = rig();
        let worker = app.worker.as_mut().unwrap();
        // What every test process has.
        worker.component.capabilities.secrets = ["PATH".to_owned()].into();
        assert!(AppSecrets::read(home.path(), &app).is_err());
        fs::write(home.path().join("settings.toml"), "[secrets]\nfrom-environment = ['PATH', 'HATCHERY_X']")
            .unwrap();
        let path = std::env::var("PATH").unwrap();
        assert_eq!(AppSecrets::read(home.path(), &app).unwrap().of(Role::Worker)["PATH"].expose(), path);
        app.worker.as_mut().unwrap().component.capabilities.secrets = ["HATCHERY_X".to_owned()].into();
        let error = format!("{:#}", AppSecrets::read(home.path(), &app).unwrap_err());
        assert!(error.contains("every process sees"), "{error}");
    }

    #[test]
    fn set_list_and_remove() {
        let home = tempfile::tempdir().unwrap();
        assert!(names(home.path(), "a").unwrap().is_empty());
        for name in ["B", "A"] {
            let file = set(home.path(), "a", name, b"x".to_vec()).unwrap();
            assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
        }
        for name in ["", "../x", "1A", "a-b"] {
            assert!(set(home.path(), "a", name, vec![]).is_err(), "{name}");
            assert!(remove(home.path(), "a", name).is_err(), "{name}");
        }
        remove(home.path(), "a", "B").unwrap();
        assert!(remove(home.path(), "a", "B").is_err());
        assert_eq!(names(home.path(), "a").unwrap(), ["A".to_owned()].into());
    }
}
