//! `hatchery store`: the bundles of a home.

use anyhow::bail;

use super::{follow::short, home::Home};
use crate::{
    admin::{Bundle, Client, Prune, Pruned, Verified},
    ipc::store,
    log::printable,
};

/// List, prune and verify the bundles that were deployed
#[derive(Debug, clap::Args)]
pub(super) struct Store {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the bundles
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        home: Home,
    },
    /// Remove bundles that nothing needs: of each app, what is deployed stays, and the last few before it
    Prune {
        /// How many before it [default: `keep` in the home's settings.toml, else 5]
        #[arg(long, value_name = "N")]
        keep: Option<usize>,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        home: Home,
    },
    /// Read every file again, and name what is damaged
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        home: Home,
    },
}

impl Store {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        match self.verb {
            Verb::List { json, home } => {
                let bundles: Vec<Bundle> = Client::new(home.of_master()?).get("/v1/store").await?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&bundles)?);
                    return Ok(());
                }
                for bundle in bundles {
                    let Bundle {
                        bundle: store::Bundle { digest, name, version, signer, bytes },
                        deployed_as,
                    } = bundle;
                    let signer = signer.map_or_else(|| "unsigned".to_owned(), |key| format!("key {key}"));
                    let size = bytesize::ByteSize(bytes);
                    let serves = match deployed_as.as_slice() {
                        [] => String::new(),
                        apps => format!("  deployed as {}", apps.join(", ")),
                    };
                    let line = format!("{}  {name} {version}  {size}  {signer}{serves}", short(&digest));
                    println!("{}", printable(&line));
                }
            }
            Verb::Prune { keep, json, home } => {
                let pruned: Pruned =
                    Client::new(home.of_master()?).post("/v1/store/prune", &Prune { keep }).await?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&pruned)?);
                    return Ok(());
                }
                let Pruned { bundles, files, compiled, bytes } = pruned;
                let size = bytesize::ByteSize(bytes);
                println!("removed {bundles} bundles, {files} files, {compiled} compiled components: {size}");
            }
            Verb::Verify { json, home } => {
                let nothing = serde_json::json!({});
                let verified: Verified =
                    Client::new(home.of_master()?).post("/v1/store/verify", &nothing).await?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&verified)?);
                } else {
                    let Verified { bundles, files, .. } = verified;
                    println!("verified {bundles} bundles with {files} files");
                }
                if !verified.damaged.is_empty() {
                    bail!("{} damaged:\n{}", verified.damaged.len(), verified.damaged.join("\n"));
                }
            }
        }
        Ok(())
    }
}
