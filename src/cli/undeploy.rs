//! `hatchery undeploy`: an app goes.

use http::Method;

use super::{
    follow::{Follow, Show, Until},
    home::Home,
    options::AppName,
};
use crate::admin::Client;

/// Take an app away: it finishes what it has, and does not come back
///
/// Its bundles stay in the store until `hatchery store prune`, its history and data for good.
#[derive(Debug, clap::Args)]
pub(super) struct Undeploy {
    /// The app
    #[arg(value_name = "APP")]
    app: AppName,
    /// Events as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

impl Undeploy {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let client = Client::new(self.home.of_master()?);
        let (app, nothing) = (self.app.as_ref(), serde_json::json!({}));
        let events = client.follow(Method::DELETE, &format!("/v1/apps/{app}"), &nothing).await?;
        Follow { what: "undeploy", app, show: Show::json(self.json), until: Until::Done }.run(events).await
    }
}
