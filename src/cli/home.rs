//! Where the home is: `--home`.

use std::{env, fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use anyhow::Context as _;

use crate::{home, sys::user};

/// `--home`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Home {
    /// Where state is kept, such as compiled components [default: $XDG_STATE_HOME/hatchery]
    #[arg(long, value_name = "FOLDER", env = "HATCHERY_HOME")]
    home: Option<PathBuf>,
}

impl Home {
    /// The folder, made where it does not exist, for this user only.
    pub(super) fn open(&self) -> anyhow::Result<home::Home> {
        home::Home::open(&self.folder()?)
    }

    /// The folder, to speak with its master: another user's too, who may have granted us something.
    pub(super) fn of_master(&self) -> anyhow::Result<home::Home> {
        let folder = self.folder()?;
        let owner = fs::metadata(folder.join(home::SOCKET)).map(|socket| socket.uid());
        if owner.is_ok_and(|owner| owner != user::effective()) {
            return home::Home::of_another(&folder);
        }
        home::Home::open(&folder)
    }

    fn folder(&self) -> anyhow::Result<PathBuf> {
        match &self.home {
            Some(home) => Ok(home.clone()),
            None => state_folder().context("neither HOME nor XDG_STATE_HOME is set; use --home FOLDER"),
        }
    }

    /// The folder, where a master has it or had it: nothing is made.
    pub(super) fn existing(&self) -> Option<home::Home> {
        let folder = self.home.clone().or_else(state_folder)?;
        let has_socket = folder.join(home::SOCKET).exists();
        if has_socket { home::Home::open(&folder).ok() } else { None }
    }
}

fn state_folder() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("hatchery"))
}
