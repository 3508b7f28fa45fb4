//! Puts what a command has left where the manifest says that the component is. Called by `build`.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};

use super::encode::encode;
use crate::manifest::Build;

/// Puts `output`, made a component where it is a core module, at `file` in one step, so that who reads it
/// meanwhile sees the old or the new one. Not touched when it is the same, so that nothing is compiled or
/// reloaded for nothing.
pub(super) fn install(build: &Build, file: &Path) -> anyhow::Result<()> {
    let output = &build.output;
    let found = fs::metadata(output);
    if !found.is_ok_and(|found| found.is_file()) {
        bail!("the command left no file {}; mend `output` in the manifest", output.display());
    }
    let encoded = encode(output, build.wit.as_deref())?;
    let is_there = match &encoded {
        None => *output == *file || same(output, file).unwrap_or(false),
        Some(component) => fs::read(file).is_ok_and(|found| found == *component),
    };
    if is_there {
        return Ok(());
    }
    let folder = file.parent().context("the component has no folder")?;
    let put = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        match &encoded {
            // Takes the permissions along: a temporary file's own would keep others from reading it.
            None => fs::copy(output, temporary.path()).map(|_| ())?,
            Some(component) => {
                temporary.write_all(component)?;
                fs::set_permissions(temporary.path(), fs::metadata(output)?.permissions())?;
            }
        }
        temporary.persist(file)?;
        Ok(())
    };
    put().with_context(|| format!("can't copy {} to {}", output.display(), file.display()))
}

/// Is in `file` what `install` would put there?
pub(super) fn holds(file: &Path, build: &Build) -> anyhow::Result<bool> {
    match encode(&build.output, build.wit.as_deref())? {
        None => Ok(same(&build.output, file)?),
        Some(component) => Ok(fs::read(file)? == component),
    }
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::metadata(one)?.len() == fs::metadata(other)?.len() && fs::read(one)? == fs::read(other)?)
}
