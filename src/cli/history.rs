//! `hatchery history`: what was done with an app.

use super::{follow::short, home::Home, options::AppName};
use crate::{
    admin::{self, Client},
    log::printable,
};

/// Show what was deployed as an app: when, by whom, which bundle, and how it ended
#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// The app
    #[arg(value_name = "APP")]
    app: AppName,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

impl History {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let client = Client::new(self.home.of_master()?);
        let history: admin::History = client.get(&format!("/v1/apps/{}/history", self.app.as_ref())).await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&history)?);
            return Ok(());
        }
        let now = history.record.deployed.as_ref().map(|deployed| deployed.digest.as_str());
        for entry in &history.record.history {
            let digest = entry.digest.as_deref().unwrap_or("-");
            let version = entry.version.as_deref().unwrap_or("-");
            let serves = if Some(digest) == now { "  (serves)" } else { "" };
            let end = match &entry.failure {
                None => "ok".to_owned(),
                Some(failure) => format!("failed: {}", failure.lines().next().unwrap_or_default()),
            };
            let (at, action, uid) = (&entry.at, &entry.action, entry.uid);
            let digest = short(digest);
            let line = format!("{at}  {action:8}  uid {uid}  {digest:19}  {version:10}  {end}{serves}");
            println!("{}", printable(&line));
        }
        Ok(())
    }
}
