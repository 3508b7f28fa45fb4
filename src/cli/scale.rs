//! `hatchery scale`: another number of workers.

use std::num::NonZeroU32;

use http::Method;

use super::{
    follow::{Follow, Show, Until},
    home::Home,
    options::AppName,
};
use crate::admin::{self, Client};

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
    /// Events as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

impl Scale {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let client = Client::new(self.home.of_master()?);
        let (app, body) = (self.app.as_ref(), admin::Scale { workers: self.workers });
        let events = client.follow(Method::POST, &format!("/v1/apps/{app}/scale"), &body).await?;
        Follow { what: "scale", app, show: Show::json(self.json), until: Until::Done }.run(events).await
    }
}
