//! The folder in which a master keeps what it must not forget.
//!
//! ```text
//!   HOME/                      0700, of one user
//!     version                  of this layout
//!     lock                     held by the master, with its OS pid in it
//!     hatchery.sock            the admin socket (`admin`), 0600, or 0666 where others are granted something
//!     settings.toml            written by the user (`settings`)
//!     tenants.json             which user each app is, where the master is root (`given`)
//!     policy.toml              what apps may ask for, written by the user (`policy`)
//!     secrets/APP/NAME         values that guests get as secrets, 0600 (`secrets`)
//!     store/                   bundles (`store`)
//!     cache/                   native code (`cache`)
//!     cache.key                what tells that native code is ours
//!     apps/NAME/app.json       what is deployed, and what was (`record`)
//!     apps/NAME/crashes/       crash reports (`master::crash`)
//!     apps/NAME/data/          folders that the app may write to
//!     logs/hatchery.log        of a master in the background
//! ```
//!
//! The CLI and the master use it. This module knows where things are, and keeps the small ones; it
//! starts nothing.

mod given;
mod grant;
mod lock;
mod policy;
mod read;
mod record;
pub mod secrets;
mod settings;
mod tenants;
mod write;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

pub use given::Given;
pub use grant::{Grant, Grants, May, Needs, Whom};
pub use lock::{Lock, holder, lasting_holder};
pub use policy::{Beyond, OutboundPolicy, Policy};
pub use record::{Deployed, Entry, Record};
pub use secrets::{AppSecrets, MAX_SECRET, MAX_SECRETS_BYTES, SecretSettings};
pub use settings::{Settings, UploadSettings};
pub use tenants::{Asks, Choice, Ids, Keeps, Tenant, TenantSettings, Uids, choose};
pub use write::Prepared;

use crate::sys::user;

/// Of the layout. A home of another one is not touched.
pub const VERSION: u32 = 1;

/// The admin socket's name in it.
pub const SOCKET: &str = "hatchery.sock";

/// The most bytes of the path of a Unix socket, which the system sets.
const MAX_SOCKET_PATH: usize = 107;

/// A home that exists and is this user's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    folder: PathBuf,
}

impl Home {
    /// The folder, made where it does not exist, for this user only.
    ///
    /// # Errors
    /// It can't be made, belongs to somebody else, can be written by others, or has another layout.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let home = Self { folder: std::path::absolute(folder)? };
        create(&home.folder)?;
        home.check_version()?;
        for folder in [home.cache(), home.apps(), home.logs(), home.folder.join("store")] {
            create(&folder)?;
        }
        Ok(home)
    }

    /// Another user's, to speak with its master: nothing is made or checked, since nothing in it is used but
    /// the socket.
    ///
    /// # Errors
    /// The path can't be made absolute.
    pub fn of_another(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { folder: std::path::absolute(folder)? })
    }

    /// The one of the master that this process works for, who has opened it and hands over parts of it: nothing
    /// is made or checked.
    #[must_use]
    pub fn of_master(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn check_version(&self) -> anyhow::Result<()> {
        let file = self.folder.join("version");
        let shown = self.folder.display();
        match fs::read_to_string(&file) {
            Ok(text) if text.trim() == VERSION.to_string() => Ok(()),
            Ok(text) => {
                let found: String = text.trim().chars().take(20).collect();
                bail!(
                    "the home {shown} has layout {found:?}, and this hatchery knows {VERSION}; use the hatchery \
                     that made it, or another --home"
                )
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write::replace(&file, format!("{VERSION}\n").as_bytes())
                    .with_context(|| format!("cannot write to the home {shown}"))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Where it is, absolute.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where native code is.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    /// Where each app has a folder.
    #[must_use]
    pub fn apps(&self) -> PathBuf {
        self.folder.join("apps")
    }

    /// Where folders are that an app may write to; they outlive its versions.
    #[must_use]
    pub fn data(&self, app: &str) -> PathBuf {
        self.apps().join(app).join("data")
    }

    /// Where a master in the background logs.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.logs().join("hatchery.log")
    }

    fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.join("lock")
    }

    /// Where the admin socket is.
    ///
    /// # Errors
    /// The path is longer than the system takes.
    pub fn socket(&self) -> anyhow::Result<PathBuf> {
        let socket = self.folder.join(SOCKET);
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            bail!(
                "the path of the admin socket, {}, is longer than {MAX_SOCKET_PATH} bytes; use a shorter --home",
                socket.display()
            );
        }
        Ok(socket)
    }
}

/// For this user alone: who can write to the compile cache decides what code runs.
fn create(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make the folder {shown}"));
        }
        _ => {}
    }
    let found = fs::metadata(folder).with_context(|| format!("cannot look at the folder {shown}"))?;
    if found.uid() != user::effective() {
        bail!("the folder {shown} belongs to another user; use --home FOLDER with one of your own");
    }
    if found.mode() & 0o022 != 0 {
        bail!(
            "others can write to the folder {shown}, and so could decide what code runs; run: chmod go-w {shown}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_of_another_layout_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert_eq!(Home::open(folder.path()).unwrap(), home);
        fs::write(folder.path().join("version"), "99\n").unwrap();
        let error = Home::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("layout \"99\""), "{error}");
    }

    #[test]
    fn a_socket_with_a_long_path_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(100));
        assert!(Home::open(&long).unwrap().socket().is_err());
        assert!(Home::open(folder.path()).unwrap().socket().is_ok());
    }
}
