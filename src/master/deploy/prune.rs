//! Removes from the store what no record needs: bundles by a storekeeper, native code by itself, since who reads
//! archives must not get at that. `admin` calls it.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use tokio::task::spawn_blocking;

use super::Deployer;
use crate::{
    admin::{Prune, Pruned},
    cache,
    digest::Digest,
    home::{Record, Settings},
    ipc::store::{Answer, What},
    master::store,
};

impl Deployer {
    /// Removes bundles that nothing needs. It goes on to its end whoever listens.
    pub(in super::super) async fn prune(&self, prune: Prune) -> anyhow::Result<Pruned> {
        // What is being deployed may not be on file yet; and what begins now might want what goes.
        let turn = self.turns().of_all()?;
        let deployer = self.clone();
        let pruning = tokio::spawn(async move {
            let _turn = turn;
            deployer.prune_alone(prune).await
        });
        pruning.await.context("pruning the store broke")?
    }

    async fn prune_alone(&self, prune: Prune) -> anyhow::Result<Pruned> {
        let keep = match prune.keep {
            Some(keep) => keep,
            None => {
                let home = self.home().clone();
                let load = spawn_blocking(move || Settings::load(&home));
                load.await.context("reading the settings broke")??.keep
            }
        };
        // All of them: of an app whose record can't be read nobody knows what it needs.
        let records = self.records().await?.into_iter().map(|(_, record)| record);
        let records: Vec<Record> = records.collect::<anyhow::Result<_>>()?;
        let kept = |record: &Record| {
            let others = if record.deployed.is_some() { keep.saturating_add(1) } else { keep };
            record.bundles().into_iter().take(others)
        };
        let keep = records.iter().flat_map(kept).collect();
        match store::ask(self.home().folder(), What::Prune { keep }).await? {
            Answer::Pruned(pruned, components) => {
                let cache = self.home().cache();
                let unneeded: BTreeSet<Digest> = components.into_iter().collect();
                let removing =
                    spawn_blocking(move || cache::prune(&cache, |component| unneeded.contains(component)));
                let removed = removing.await.context("pruning the compile cache broke")??;
                let bytes = pruned.bytes.saturating_add(removed.bytes);
                Ok(Pruned { compiled: removed.entries, bytes, ..pruned })
            }
            _ => bail!("the store gave another answer than was asked for"),
        }
    }
}
