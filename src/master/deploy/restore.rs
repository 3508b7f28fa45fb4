//! Brings back what was deployed, at the start of a master; and goes on trying with what can't start.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::sleep;

use super::Deployer;
use crate::{
    home::{Deployed, Record},
    ipc::store::TrustBy,
    master::{admin::Events, plan::Plan, run::print_serves, steps::Step},
};

/// How long after a failure an app is tried again.
const RETRY: Duration = Duration::from_secs(30);

impl Deployer {
    /// Starts what the records say, all at once. Prints a line for each on stdout: `ready app=…`, or
    /// `failed app=… reason`.
    ///
    /// # Errors
    /// The records can't be read.
    pub(in super::super) async fn restore(&self) -> anyhow::Result<()> {
        let records = self.records().await?;
        let names: Vec<String> = records
            .into_iter()
            .filter(|(_, record)| record.deployed.is_some())
            .map(|(name, _)| name)
            .collect();
        let failed = join_all(names.into_iter().map(|name| async move {
            match self.bring_back(&name).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(app = name, "cannot be brought back: {error:#}");
                    println!("failed app={name} {}", format!("{error:#}").replace('\n', " | "));
                    Some(name)
                }
            }
        }))
        .await;
        for name in failed.into_iter().flatten() {
            tokio::spawn(self.clone().retry(name));
        }
        Ok(())
    }

    /// Until it runs, or somebody does something else with it.
    async fn retry(self, name: String) {
        loop {
            sleep(RETRY).await;
            let is_meant = self.failed().contains_key(&name) && !self.apps().are_ending();
            if !is_meant {
                return;
            }
            match self.bring_back(&name).await {
                Ok(()) => return,
                Err(error) => tracing::error!(app = name, "cannot be brought back: {error:#}"),
            }
        }
    }

    async fn bring_back(&self, name: &str) -> anyhow::Result<()> {
        let _turn = self.turn(name)?;
        let record = self.record(name).await?;
        let Some(deployed) = &record.deployed else { return Ok(()) };
        let result = self.serve(name, deployed, &record).await;
        match &result {
            Ok(()) => self.failed().remove(name),
            Err(error) => self.failed().insert(name.to_owned(), format!("{error:#}")),
        };
        result
    }

    async fn serve(&self, name: &str, deployed: &Deployed, record: &Record) -> anyhow::Result<()> {
        let (_, app) = self.look(&deployed.digest, name, TrustBy::Past, record).await?;
        let mut happens = self.start(app, Plan::default(), &Events::none()).await?;
        while let Some(step) = happens.recv().await {
            match step {
                Step::Serves { address, .. } => {
                    print_serves(name, address);
                    return Ok(());
                }
                Step::Failed(why) => anyhow::bail!(why),
                Step::Starts { .. }
                | Step::Healthy
                | Step::Canary { .. }
                | Step::Promoted { .. }
                | Step::Alone => {}
            }
        }
        anyhow::bail!("it was stopped")
    }
}
