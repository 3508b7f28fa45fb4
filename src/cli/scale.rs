//! `hatchery scale`: another number of workers.

use std::num::NonZeroU32;

use super::{job::Job, options::AppName};
use crate::admin;

/// Change an app's number of workers; those that stay go on
///
/// The number holds for later versions too, instead of their manifest's.
#[derive(Debug, clap::Args)]
pub(super) struct Scale {
    /// The app
    #[arg(value_name = "APP")]
    app: AppName,
    /// How many workers
    #[arg(value_name = "N")]
    workers: NonZeroU32,
    #[command(flatten)]
    job: Job,
}

impl Scale {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let body = admin::Scale { workers: self.workers };
        self.job.post("scale", self.app.as_ref(), &body).await
    }
}
