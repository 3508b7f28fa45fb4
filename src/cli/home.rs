//! Where Hatchery keeps its state.

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// `--home`.
#[derive(Debug, clap::Args)]
pub(super) struct Home {
    /// Where state is kept, such as compiled components [default: $XDG_STATE_HOME/hatchery]
    #[arg(long, value_name = "FOLDER", env = "HATCHERY_HOME")]
    home: Option<PathBuf>,
}

impl Home {
    /// The folder, made where it does not exist, for this user only.
    pub(super) fn open(&self) -> anyhow::Result<PathBuf> {
        let home = match &self.home {
            Some(home) => home.clone(),
            None => state_folder().context("neither HOME nor XDG_STATE_HOME is set; use --home FOLDER")?,
        };
        let home = std::path::absolute(home)?;
        create(&home)?;
        create(&home.join("cache"))?;
        Ok(home)
    }
}

fn state_folder() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("hatchery"))
}

fn create(folder: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the folder {}", folder.display()))
        }
        _ => Ok(()),
    }
}
