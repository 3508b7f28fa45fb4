//! The cgroups that are the master's own.

use std::path::{PathBuf, absolute};

use anyhow::Context as _;

/// `--cgroup`.
#[derive(Debug, clap::Args)]
pub(super) struct Cgroup {
    /// A cgroup of the master's own, in which each app and each process gets one with its limits; of
    /// version 1 once for each controller [default: the master's, where systemd delegates it]
    #[arg(long = "cgroup", value_name = "FOLDER", env = "HATCHERY_CGROUP", value_delimiter = ':')]
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// The folders, for a process that is elsewhere.
    ///
    /// # Errors
    /// Where this process is isn't known.
    pub(super) fn absolute(&self) -> anyhow::Result<Vec<PathBuf>> {
        let absolute = |folder: &PathBuf| {
            let shown = folder.display();
            absolute(folder).with_context(|| format!("cannot tell where the cgroup {shown} is"))
        };
        self.folders.iter().map(absolute).collect()
    }

    pub(super) fn folders(self) -> Vec<PathBuf> {
        self.folders
    }
}
