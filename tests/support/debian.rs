//! Programs of others that tests hold ours against: installed ones, or Debian's, unpacked below target/.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where packages are unpacked.
const UNPACKED: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/debian");

/// A program that is there.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// Its packages' own libraries.
    libraries: OsString,
}

impl Program {
    /// Finds it, or fetches it from these packages. None, and a line that says why, where neither can be.
    ///
    /// # Panics
    /// In that case too, where the environment has `CI`.
    pub(crate) fn find(name: &str, packages: &[&str]) -> Option<Self> {
        let folder = Path::new(UNPACKED).join(name);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/debian.sh");
        let done = Command::new(script).arg(&folder).arg(name).args(packages).stdin(Stdio::null()).output();
        let done = done.unwrap();
        if !done.status.success() {
            let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            assert!(env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let path = PathBuf::from(String::from_utf8_lossy(&done.stdout).trim());
        // Such as usr/lib/x86_64-linux-gnu.
        let libraries = fs::read_dir(folder.join("usr/lib")).into_iter().flatten().flatten();
        let libraries = env::join_paths(libraries.map(|entry| entry.path())).unwrap();
        Some(Self { path, libraries })
    }

    /// A command that runs it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if !self.libraries.is_empty() {
            command.env("LD_LIBRARY_PATH", &self.libraries);
        }
        command
    }
}
