//! Waiting for a master that has just been started.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::admin::{Client, NotRunning, Status};

/// The longest that it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(20);

/// Returns when it answers.
///
/// # Errors
/// It does not, for long.
pub(super) async fn answers(client: &Client) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match client.get::<Status>("/v1/status").await {
            Ok(_) => return Ok(()),
            Err(error) if !error.is::<NotRunning>() || begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
