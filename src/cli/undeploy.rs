//! `hatchery undeploy`: an app goes.

use super::{job::Job, options::AppName};

/// Take an app away: it finishes what it has, and does not come back
///
/// Its bundles stay in the store until `hatchery store prune`, its history and data for good.
#[derive(Debug, clap::Args)]
pub(super) struct Undeploy {
    /// The app
    #[arg(value_name = "APP")]
    app: AppName,
    #[command(flatten)]
    job: Job,
}

impl Undeploy {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        self.job.delete("undeploy", self.app.as_ref()).await
    }
}
