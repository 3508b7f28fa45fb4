//! The cgroup that is the master's own.

use std::path::{PathBuf, absolute};

use anyhow::Context as _;

/// `--cgroup`.
#[derive(Debug, clap::Args)]
pub(super) struct Cgroup {
    /// A cgroup of the master's own, in which each process gets one with `process-memory` as its
    /// limit [default: the master's, where systemd delegates it]
    #[arg(long, value_name = "FOLDER", env = "HATCHERY_CGROUP")]
    cgroup: Option<PathBuf>,
}

impl Cgroup {
    /// The folder, for a process that is elsewhere.
    ///
    /// # Errors
    /// Where this process is isn't known.
    pub(super) fn absolute(&self) -> anyhow::Result<Option<PathBuf>> {
        let Some(folder) = &self.cgroup else { return Ok(None) };
        let shown = folder.display();
        absolute(folder).map(Some).with_context(|| format!("cannot tell where the cgroup {shown} is"))
    }

    pub(super) fn folder(self) -> Option<PathBuf> {
        self.cgroup
    }
}
