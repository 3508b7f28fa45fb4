//! `hatchery reload`: new processes for what is deployed.

use super::{job::Job, options::AppName};
use crate::admin::Status;

/// Give apps new processes, without a lost request
///
/// The bundle stays the same; `hatchery deploy` brings another one.
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// The app [default: all, one after another]
    #[arg(value_name = "APP")]
    app: Option<AppName>,
    #[command(flatten)]
    job: Job,
}

impl Reload {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let apps = match &self.app {
            Some(app) => vec![app.as_ref().to_owned()],
            None => {
                let status: Status = self.job.client()?.get("/v1/status").await?;
                status.apps.into_iter().map(|app| app.name).collect()
            }
        };
        for app in &apps {
            self.job.post("reload", app, &serde_json::json!({})).await?;
        }
        Ok(())
    }
}
