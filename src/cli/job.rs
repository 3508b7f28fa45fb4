//! What is done with one app by the master and followed to its end: what `reload`, `rollback`, `scale` and
//! `undeploy` have in common.

use http::Method;
use serde::Serialize;

use super::{
    follow::{Follow, Show, Until},
    home::Home,
};
use crate::admin::Client;

/// How it is shown, and by which master it is done.
#[derive(Debug, clap::Args)]
pub(super) struct Job {
    /// Events as lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

impl Job {
    /// The master's socket.
    ///
    /// # Errors
    /// There is no home.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(self.home.of_master()?))
    }

    /// Asks for the verb of this app's, and follows it.
    ///
    /// # Errors
    /// No master answers, or it could not be done.
    pub(super) async fn post(&self, what: &str, app: &str, body: &impl Serialize) -> anyhow::Result<()> {
        self.follow(what, app, (Method::POST, &format!("/v1/apps/{app}/{what}")), body).await
    }

    /// As [`Job::post`], for what takes the app away.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn delete(&self, what: &str, app: &str) -> anyhow::Result<()> {
        self.follow(what, app, (Method::DELETE, &format!("/v1/apps/{app}")), &serde_json::json!({})).await
    }

    async fn follow(
        &self,
        what: &str,
        app: &str,
        (method, path): (Method, &str),
        body: &impl Serialize,
    ) -> anyhow::Result<()> {
        let events = self.client()?.follow(method, path, body).await?;
        Follow { what, app, show: Show::json(self.json), until: Until::Done }.run(events).await
    }
}
