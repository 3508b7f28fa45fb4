//! `hatchery rollback`: back to what served before.

use http::Method;

use super::{
    follow::{Follow, Show, Until},
    home::Home,
    options::AppName,
};
use crate::admin::{self, Client};

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
    /// Events as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

impl Rollback {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let client = Client::new(self.home.of_master()?);
        let (app, body) = (self.app.as_ref(), admin::Rollback { bundle: self.bundle });
        let events = client.follow(Method::POST, &format!("/v1/apps/{app}/rollback"), &body).await?;
        Follow { what: "rollback", app, show: Show::json(self.json), until: Until::Done }.run(events).await
    }
}
