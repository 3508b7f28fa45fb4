//! `hatchery reload`: new processes for what is deployed.

use http::Method;

use super::{
    follow::{Follow, Show, Until},
    home::Home,
    options::AppName,
};
use crate::admin::{Client, Status};

/// Give apps new processes, without a lost request
///
/// The bundle stays the same; `hatchery deploy` brings another one.
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// The app [default: all, one after another]
    #[arg(value_name = "APP")]
    app: Option<AppName>,
    /// Events as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

impl Reload {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let client = Client::new(self.home.of_master()?);
        let apps = match self.app {
            Some(app) => vec![app.as_ref().to_owned()],
            None => client.get::<Status>("/v1/status").await?.apps.into_iter().map(|app| app.name).collect(),
        };
        for app in &apps {
            let nothing = serde_json::json!({});
            let events = client.follow(Method::POST, &format!("/v1/apps/{app}/reload"), &nothing).await?;
            Follow { what: "reload", app, show: Show::json(self.json), until: Until::Done }
                .run(events)
                .await?;
        }
        Ok(())
    }
}
