//! A process's resident instance, kept alive across traps.

use std::{sync::Arc, time::Duration};

use super::Cluster;
use crate::{
    host::{Ended, Guest, Handle, Requests, Resident, Settings},
    manifest::{App, Component},
};

/// Owns the instance and runs it.
pub struct Instance {
    resident: Resident,
    start_timeout: Duration,
}

impl Instance {
    /// Nothing is called yet.
    #[must_use]
    pub fn new(
        app: &App,
        component: &Component,
        guest: &Arc<Guest>,
        cluster: &Arc<Cluster>,
        requests: Requests,
    ) -> (Self, Handle) {
        let settings = settings(app, component, cluster);
        let (resident, handle) = Resident::new(guest.clone(), settings, requests);
        (Self { resident, start_timeout: app.limits.start_timeout }, handle)
    }

    /// Makes the first instance.
    ///
    /// # Errors
    ///
    /// The guest's own, or its trap.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.resident.start(self.start_timeout).await
    }

    /// Runs it until it is told to stop. After a trap it goes on with a fresh one.
    ///
    /// # Errors
    ///
    /// When a fresh instance can't start: the process is of no more use.
    pub async fn run(mut self) -> anyhow::Result<()> {
        loop {
            match self.resident.run().await {
                Ended::Stopped => return Ok(()),
                Ended::Trapped(trap) => {
                    tracing::error!("the guest trapped; a fresh instance takes over: {trap}");
                }
            }
            self.start().await?;
        }
    }
}

/// What the app's instances of this component get.
pub(crate) fn settings(app: &App, component: &Component, cluster: &Arc<Cluster>) -> Settings {
    Settings {
        capabilities: component.capabilities.clone(),
        memory: app.limits.memory,
        cpu_limit: app.limits.cpu_limit,
        messenger: cluster.clone(),
    }
}
