//! `hatchery push`: a bundle archive to a registry.

use std::path::PathBuf;

use super::registry::{Outcome, Registry, unless_interrupted};
use crate::oci::{self, Kind, Reference};

/// Push a bundle to a registry
///
/// Credentials are docker's: log in with `docker login HOST`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Push {
    /// A bundle archive, as `hatchery pack` makes them
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to: oci://HOST[:PORT]/NAME:TAG
    #[arg(value_name = "REFERENCE")]
    reference: Reference,
    #[command(flatten)]
    registry: Registry,
}

const EXAMPLES: &str = "\
Examples:
  hatchery push cache-0.1.0.hatchery oci://registry.example/team/cache:0.1.0
  hatchery push --plain-http cache-0.1.0.hatchery oci://localhost:5000/cache:0.1.0
  hatchery push --json cache-0.1.0.hatchery oci://registry.example/cache:latest | jq -r .digest";

impl Push {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let options = self.registry.options();
        let pushed = oci::push(&self.file, &self.reference, &options);
        let pushed = unless_interrupted(&self.reference, pushed).await?;
        // The bar is gone before the result is printed.
        drop(options);
        let outcome = Outcome {
            reference: self.reference.to_string(),
            digest: pushed.digest,
            size: pushed.size,
            kind: Kind::Bundle,
            file: &self.file,
        };
        self.registry.print("pushed", &outcome)
    }
}
