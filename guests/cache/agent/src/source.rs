//! The source at `SOURCE_URL`, as the agent needs it: changes, and the way to make one.

use hatchery_sdk::{Error, Result, fetch};
use serde::Deserialize;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The source answers a long poll after 25 seconds at the latest.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// Its version now.
pub(crate) async fn version() -> Result<u64> {
    let version: Version = fetch(url("version")?).timeout(TIMEOUT).send().await?.json().await?;
    Ok(version.version)
}

/// Waits for a version newer than this; `None` when there was none for a while.
pub(crate) async fn change(since: u64) -> Result<Option<u64>> {
    let url = url(&format!("changes?since={since}"))?;
    let answer = fetch(url).timeout(POLL_TIMEOUT).send().await?;
    if answer.status == 204 {
        return Ok(None);
    }
    let version: Version = answer.json().await?;
    Ok(Some(version.version))
}

/// Sets the value; the version that it got.
pub(crate) async fn put(value: Vec<u8>) -> Result<u64> {
    let answer = fetch(url("value")?).put(value).timeout(TIMEOUT).send().await?;
    if answer.status != 200 {
        let status = answer.status;
        let why = answer.text().await.unwrap_or_default();
        return Err(Error::new(format_args!("the source answers {status}: {}", why.trim_end())));
    }
    let version: Version = answer.json().await?;
    Ok(version.version)
}

fn url(path: &str) -> Result<String> {
    let base = std::env::var("SOURCE_URL")
        .map_err(|_| Error::new("SOURCE_URL is not set; set it in the manifest's environment"))?;
    Ok(format!("{}/{path}", base.trim_end_matches('/')))
}
