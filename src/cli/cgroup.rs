//! The cgroup that is the master's own.

use std::path::PathBuf;

/// `--cgroup`.
#[derive(Debug, clap::Args)]
pub(super) struct Cgroup {
    /// A cgroup of the master's own, in which each process gets one with `process-memory` as its
    /// limit [default: the master's, where systemd delegates it]
    #[arg(long, value_name = "FOLDER", env = "HATCHERY_CGROUP")]
    cgroup: Option<PathBuf>,
}

impl Cgroup {
    pub(super) fn folder(self) -> Option<PathBuf> {
        self.cgroup
    }
}
