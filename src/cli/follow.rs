//! Shows how a long request goes, from its events; and its end as an exit code.

use anyhow::bail;

use super::progress::Progress;
use crate::{
    admin::{Event, Events},
    log::printable,
};

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// For people: a line that changes on a terminal, and what matters.
    Words,
    /// For programs: each event as it comes.
    Json,
}

impl Show {
    pub(super) fn json(json: bool) -> Self {
        if json { Self::Json } else { Self::Words }
    }
}

/// How long it is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To its end.
    Done,
    /// Until a canary has begun.
    Canary,
}

/// What is shown of the request: `deploy cache`.
pub(super) struct Follow<'a> {
    pub(super) what: &'a str,
    pub(super) app: &'a str,
    pub(super) show: Show,
    pub(super) until: Until,
}

impl Follow<'_> {
    /// To its end. Prints the line that `hatchery run` prints for an app that serves.
    ///
    /// # Errors
    /// Why it failed.
    pub(super) async fn run(&self, mut events: Events) -> anyhow::Result<()> {
        let (what, app) = (self.what, self.app);
        let progress = Progress::new(match self.show {
            Show::Words => format!("{what} {app}"),
            Show::Json => String::new(),
        });
        while let Some(event) = events.next().await? {
            if self.show == Show::Json {
                println!("{}", serde_json::to_string(&event)?);
            }
            match event {
                Event::Failed { reason } => {
                    drop(progress);
                    bail!("cannot {what} {app}: {}", printable(&reason));
                }
                Event::Done { elapsed_ms, .. } => {
                    progress.done(&format!("{what} {app}: done in {elapsed_ms} ms"));
                    return Ok(());
                }
                Event::Serving { address, generation } => {
                    progress.say(&format!("generation {generation} serves; the one before it drains"));
                    if self.show == Show::Words {
                        progress.print(&match address {
                            Some(address) => format!("ready app={app} addr={address}"),
                            None => format!("ready app={app}"),
                        });
                    }
                }
                Event::Checked { version, digest } => {
                    let version = printable(&version);
                    progress.say(&format!("version {version}, {}; compiling", short(&digest)));
                }
                Event::Compiled { role, cached, elapsed_ms } => {
                    let how = if cached {
                        "was compiled already".to_owned()
                    } else {
                        format!("compiled in {elapsed_ms} ms")
                    };
                    progress.say(&format!("the {role} {how}"));
                }
                Event::Starting { generation } => progress.say(&format!("generation {generation} starts")),
                Event::Promoted { seen } => progress.say(&format!("promoted: {seen}")),
                Event::Healthy => progress.say("healthy"),
                Event::Canary { percent, seconds } => {
                    let what = format!("canary: {percent} % of new connections for {seconds} s");
                    if self.until == Until::Canary {
                        if self.show == Show::Words {
                            progress
                                .print(&format!("{what}; `hatchery history {app}` will say how it ended"));
                        }
                        return Ok(());
                    }
                    progress.say(&what);
                }
            }
        }
        bail!("the master ended before {what} {app} did; `hatchery status` says how things are")
    }
}

/// Enough of a digest to know it by.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}
