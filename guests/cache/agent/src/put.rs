//! A write through the cache: it is done when the source has the value and every worker too.

use crate::{CacheAgent, source};
use hatchery_sdk::{AskError, Error, Result, Watch, ask_app};
use serde_json::json;
use std::time::Duration;

const REFRESH_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the version as JSON, or why not every worker has it.
pub(crate) async fn run(agent: &CacheAgent, value: Vec<u8>) -> Result<Vec<u8>> {
    let version = {
        let _under_way = UnderWay::new(&agent.puts);
        let version = source::put(value).await?;
        // While it still counts as under way: the push that waits for it must find this.
        agent.told.set(agent.told.get().max(version));
        version
    };
    let refresh = json!({ "by": "put", "version": version });
    for answer in ask_app::<u64>("refresh", &refresh, REFRESH_TIMEOUT).await? {
        match answer.result {
            // One that is gone has a successor that loads on its own.
            Ok(_) | Err(AskError::NoSuchProcess) => {}
            Err(reason) => {
                return Err(Error::new(format_args!(
                    "the source has version {version}, but process {} did not reload: {reason}",
                    answer.pid
                )));
            }
        }
    }
    Ok(serde_json::to_vec(&version)?)
}

/// Counts a write, also where its call is cancelled.
struct UnderWay<'a>(&'a Watch<u32>);

impl<'a> UnderWay<'a> {
    fn new(puts: &'a Watch<u32>) -> Self {
        puts.set(puts.get() + 1);
        Self(puts)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
