//! Where Hatchery keeps its state.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::sys::user;

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
