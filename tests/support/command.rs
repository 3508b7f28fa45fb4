//! The binary run to its end, for verbs that are not `run`.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
};

/// How it ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A binary that is to be run without what the tests' own environment says to Hatchery, and without input.
pub(crate) fn clean(binary: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HATCHERY_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs `hatchery` in a folder, which is its home too.
pub(crate) fn hatchery(folder: &Path, arguments: &[&str]) -> Done {
    hatchery_with(folder, arguments, &[])
}

/// As [`hatchery`], with these environment variables.
pub(crate) fn hatchery_with(folder: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Done {
    let mut command = clean(env!("CARGO_BIN_EXE_hatchery"));
    command.args(arguments).current_dir(folder).env("HATCHERY_HOME", folder.join("home"));
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    Done {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
