//! A process's resident instance, kept alive across traps.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Cluster;
use crate::{
    host::{Ended, Guest, Handle, Requests, Resident, Settings, Writes},
    ipc::message::Boot,
    manifest::Component,
};

/// In which more than `trap-limit` traps are too many.
const TRAP_WINDOW: Duration = Duration::from_secs(60);

/// Owns the instance and runs it.
pub struct Instance {
    resident: Resident,
    start_timeout: Duration,
    traps: Traps,
}

impl Instance {
    /// Nothing is called yet.
    #[must_use]
    pub fn new(
        boot: &Boot,
        component: &Component,
        guest: &Arc<Guest>,
        cluster: &Arc<Cluster>,
        requests: Requests,
    ) -> (Self, Handle) {
        let app = &boot.app;
        let settings = settings(boot, component, cluster);
        let (resident, handle) = Resident::new(guest.clone(), settings, requests);
        let traps = Traps { limit: app.limits.trap_limit, recent: VecDeque::new() };
        (Self { resident, start_timeout: app.limits.start_timeout, traps }, handle)
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
    /// When a fresh instance can't start, or too many have trapped: the process is of no more use.
    pub async fn run(mut self) -> anyhow::Result<()> {
        loop {
            match self.resident.run().await {
                Ended::Stopped => return Ok(()),
                Ended::Trapped(trap) => {
                    if self.traps.are_too_many(Instant::now()) {
                        tracing::error!("the guest trapped: {trap}");
                        let limit = self.traps.limit;
                        anyhow::bail!(
                            "the guest trapped more than {limit} times within a minute (`trap-limit`)"
                        );
                    }
                    tracing::error!("the guest trapped; a fresh instance takes over: {trap}");
                }
            }
            self.start().await?;
        }
    }
}

/// The traps of the last minute.
struct Traps {
    limit: usize,
    /// Oldest first; no more than `limit`.
    recent: VecDeque<Instant>,
}

impl Traps {
    /// There was one more.
    fn are_too_many(&mut self, now: Instant) -> bool {
        self.recent.retain(|at| now.saturating_duration_since(*at) < TRAP_WINDOW);
        if self.recent.len() >= self.limit {
            return true;
        }
        self.recent.push_back(now);
        false
    }
}

/// What the app's instances of this component get.
pub(crate) fn settings(boot: &Boot, component: &Component, cluster: &Arc<Cluster>) -> Settings {
    let limits = &boot.app.limits;
    Settings {
        capabilities: component.capabilities.clone(),
        memory: limits.memory,
        cpu_limit: limits.cpu_limit,
        messenger: cluster.clone(),
        outgoing: Arc::clone(cluster.outgoing()),
        secrets: boot.secrets.clone(),
        writes: if boot.disk_full { Writes::Never } else { Writes::AsGranted },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_counted_by_the_minute() {
        let mut traps = Traps { limit: 2, recent: VecDeque::new() };
        let begin = Instant::now();
        // Seconds, and whether that is one too many.
        for (at, expected) in [(0, false), (1, false), (59, true), (60, false), (60, true), (120, false)] {
            let now = begin + Duration::from_secs(at);
            assert_eq!(traps.are_too_many(now), expected, "at {at} s");
        }
    }
}
