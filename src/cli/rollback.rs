//! `hatchery rollback`: back to what served before.

use super::{job::Job, options::AppName};
use crate::admin;

/// Go back to the bundle that was deployed before: its code is compiled already
///
/// Twice in a row leads back to where you were.
#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    /// The app
    #[arg(value_name = "APP")]
    app: AppName,
    /// A bundle that was deployed as this app once, or enough of its digest [default: the last one]
    #[arg(value_name = "DIGEST")]
    bundle: Option<String>,
    #[command(flatten)]
    job: Job,
}

impl Rollback {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let body = admin::Rollback { bundle: self.bundle };
        self.job.post("rollback", self.app.as_ref(), &body).await
    }
}
