//! The subscription: one long poll after the other, for the life of the process.

use crate::{CacheAgent, source};
use hatchery_sdk::cluster::{self, Role, State};
use hatchery_sdk::{Result, ask_app, send_to_app, sleep};
use serde_json::json;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// `PUSH=off` turns it off.
pub(crate) fn is_on() -> bool {
    std::env::var("PUSH").as_deref() != Ok("off")
}

/// The version to begin at: what the workers have, where there are any (after a restart of the
/// agent), or else what the source has. 0, which is told of everything, where neither is known.
pub(crate) async fn baseline() -> u64 {
    let ready = |p: &cluster::Process| p.role == Role::Worker && p.state == State::Ready;
    if cluster::processes().iter().any(ready) {
        let answers = ask_app::<u64>("version", &(), ASK_TIMEOUT).await.unwrap_or_default();
        return answers.into_iter().filter_map(|a| a.result.ok()).min().unwrap_or(0);
    }
    source::version().await.unwrap_or_else(|reason| {
        eprintln!("can't ask the source for its version: {reason}");
        0
    })
}

/// Never returns.
pub(crate) async fn run(agent: &'static CacheAgent) {
    let mut pause = FIRST_PAUSE;
    loop {
        match turn(agent).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(reason) => {
                if pause == FIRST_PAUSE {
                    eprintln!("push: {reason}; trying again");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn turn(agent: &CacheAgent) -> Result<()> {
    let Some(version) = source::change(agent.told.get()).await? else { return Ok(()) };
    // The change may be that of a put which has not heard of it yet, and which tells the workers itself.
    agent.puts.until(|puts| puts == 0).await;
    if version > agent.told.get() {
        send_to_app("refresh", &json!({ "by": "push", "version": version }))?;
        agent.told.set(version);
    }
    Ok(())
}
