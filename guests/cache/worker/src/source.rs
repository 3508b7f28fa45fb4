//! The source at `SOURCE_URL`, as a worker needs it: the value, and its version alone.

use hatchery_sdk::{Error, Result, fetch, sleep};
use serde::Deserialize;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// At a start the source may be starting too.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What the source has.
#[derive(Deserialize)]
pub(crate) struct Loaded {
    pub(crate) value: serde_json::Value,
    pub(crate) version: u64,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// The value with its version.
pub(crate) async fn load() -> Result<Loaded> {
    fetch(url("value")?).timeout(TIMEOUT).send().await?.json().await
}

/// As [`load`], tried for about three seconds.
pub(crate) async fn load_with_patience() -> Result<Loaded> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        if let Ok(loaded) = load().await {
            return Ok(loaded);
        }
        sleep(pause).await;
        pause *= 2;
    }
    load().await.map_err(|e| e.context("can't load from SOURCE_URL; is the source running"))
}

/// The version alone, which the source gives at once.
pub(crate) async fn version() -> Result<u64> {
    let version: Version = fetch(url("version")?).timeout(TIMEOUT).send().await?.json().await?;
    Ok(version.version)
}

fn url(path: &str) -> Result<String> {
    let base = std::env::var("SOURCE_URL")
        .map_err(|_| Error::new("SOURCE_URL is not set; set it in the manifest's environment"))?;
    Ok(format!("{}/{path}", base.trim_end_matches('/')))
}
