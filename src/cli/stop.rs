//! `hatchery stop` and `hatchery restart`.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::time::sleep;

use super::{cgroup::Cgroup, home::Home as HomeOption, isolation::Isolation, start};
use crate::{
    admin::{Client, Master, NotRunning, Stopping},
    home::{Home, holder},
};

/// Stop the service: requests in hand are finished first
///
/// Returns when no process is left. What is deployed comes back with the next start.
#[derive(Debug, clap::Args)]
pub(super) struct Stop {
    #[command(flatten)]
    home: HomeOption,
}

/// Stop the service and start it again: this binary, and everything that is deployed
#[derive(Debug, clap::Args)]
pub(super) struct Restart {
    #[command(flatten)]
    home: HomeOption,
    #[command(flatten)]
    cgroup: Cgroup,
    #[command(flatten)]
    isolation: Isolation,
}

impl Restart {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let home = self.home.open()?;
        stop(&home).await?;
        start::again(&home, &self.cgroup, &self.isolation)
    }
}

/// The longest that it is waited for: each app has a `stop-timeout`, of at most an hour, and the user
/// may end the waiting.
const PATIENCE: Duration = Duration::from_secs(3700);

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(20);

impl Stop {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        stop(&self.home.of_master()?).await
    }
}

/// Ends the master of this home, and returns when it is gone.
///
/// # Errors
/// There is none, or it does not end.
pub(super) async fn stop(home: &Home) -> anyhow::Result<()> {
    let client = Client::new(home.clone());
    // Only its owner and root may look at its lock. To others it is gone when nobody answers: it does so until
    // all apps have ended.
    let sees_lock = holder(home).is_ok();
    let Stopping { os_pid } = client.post("/v1/stop", &serde_json::json!({})).await?;
    let begun = Instant::now();
    let is_there = async || match sees_lock {
        true => Ok(holder(home)? == Some(os_pid)),
        false => match client.get::<Master>("/v1/master").await {
            Ok(master) => Ok(master.os_pid == os_pid),
            Err(error) if error.is::<NotRunning>() => Ok(false),
            // It ends just now, and has cut us off.
            Err(_) => anyhow::Ok(true),
        },
    };
    while is_there().await? {
        if begun.elapsed() > PATIENCE {
            bail!("the master, pid {os_pid}, has not ended within {}", humantime::format_duration(PATIENCE));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
