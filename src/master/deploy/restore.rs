//! Brings back what was deployed, at the start of a master; and goes on trying with what can't start.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use tokio::{task::spawn_blocking, time::sleep};

use super::Deployer;
use crate::{
    home::{Deployed, Record},
    ipc::store::TrustBy,
    master::{admin::Events, plan::Plan, run::print_serves, stdout, steps::Step},
};

/// How long after a failure an app is tried again.
const RETRY: Duration = Duration::from_secs(30);

impl Deployer {
    /// Starts what the records say, all at once. Prints a line for each on stdout: `ready app=…`, or
    /// `failed app=… reason`.
    ///
    /// # Errors
    /// Nobody can tell which apps there are. A record that can't be read is that app's failure alone.
    pub(in super::super) async fn restore(&self) -> anyhow::Result<()> {
        let home = self.home().clone();
        let names = spawn_blocking(move || Record::names(&home)).await;
        let names = names.context("looking for the records broke")??;
        let failed = join_all(names.into_iter().map(|name| async move {
            match self.bring_back(&name).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(app = name, "cannot be brought back: {error:#}");
                    stdout::print(&format!(
                        "failed app={name} {}",
                        format!("{error:#}").replace('\n', " | ")
                    ));
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
        let result = match self.turns().of(name, "restore") {
            Ok(_turn) => self.serve_again(name).await,
            // Nobody does something else with this app: it is still to come back.
            Err(error) if self.turns().are_taken() => Err(error),
            Err(error) => return Err(error),
        };
        match &result {
            Ok(()) => self.failed().remove(name),
            Err(error) => self.failed().insert(name.to_owned(), format!("{error:#}")),
        };
        result
    }

    /// What its record says, if it says anything.
    async fn serve_again(&self, name: &str) -> anyhow::Result<()> {
        let record = self.record(name).await?;
        match &record.deployed {
            Some(deployed) => self.serve(name, deployed, &record).await,
            None => Ok(()),
        }
    }

    async fn serve(&self, name: &str, deployed: &Deployed, record: &Record) -> anyhow::Result<()> {
        let (_, app) = self.look(&deployed.digest, name, TrustBy::Past, record).await?;
        let mut happens = self.start(app, Plan::default(), &Events::none()).await?;
        while let Some(step) = happens.recv().await {
            match step {
                Step::Starts { .. }
                | Step::Healthy
                | Step::Canary { .. }
                | Step::Promoted { .. }
                | Step::Alone => {}
                Step::Serves { address, .. } => {
                    print_serves(name, address);
                    return Ok(());
                }
                Step::Failed(why) => anyhow::bail!(why),
            }
        }
        anyhow::bail!("it was stopped")
    }
}
