//! `hatchery pull`: a bundle, or a component alone, from a registry.

use std::path::PathBuf;

use super::registry::{Outcome, Registry, unless_interrupted};
use crate::oci::{self, Destination, Reference};

/// Pull a bundle or a component from a registry
///
/// What comes is checked against its digest before it gets its name; a file of that name is replaced.
/// A component that another tool pushed, such as wkg, comes as a .wasm file: to run it, put a
/// hatchery.toml beside it. Credentials are docker's: log in with `docker login HOST`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Pull {
    /// What: oci://HOST[:PORT]/NAME:TAG, or @sha256:… in the tag's place
    #[arg(value_name = "REFERENCE")]
    reference: Reference,
    /// A file, or a folder to put NAME-TAG.hatchery or NAME-TAG.wasm into
    #[arg(short, long, value_name = "PATH", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    registry: Registry,
}

const EXAMPLES: &str = "\
Examples:
  hatchery pull oci://registry.example/team/cache:0.1.0
  hatchery pull -o cache.hatchery oci://registry.example/team/cache@sha256:…
  hatchery pull --plain-http --json oci://localhost:5000/cache:0.1.0 | jq -r .kind";

impl Pull {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let destination = if self.output.is_dir() {
            Destination::Folder(self.output)
        } else {
            Destination::File(self.output)
        };
        let options = self.registry.options();
        let pulled = oci::pull(&self.reference, &destination, &options);
        let pulled = unless_interrupted(&self.reference, pulled).await?;
        // The bar is gone before the result is printed.
        drop(options);
        let outcome = Outcome {
            reference: self.reference.to_string(),
            digest: pulled.digest,
            size: pulled.size,
            kind: pulled.kind,
            file: &pulled.file,
        };
        self.registry.print("pulled", &outcome)
    }
}
