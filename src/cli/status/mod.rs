//! `hatchery status`: asks, and shows what was said; with `--watch` again and again. How it is asked is
//! not its affair.

mod style;
mod table;

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use anyhow::bail;
use tokio::time::{MissedTickBehavior, interval};

use self::style::Style;
use crate::master::AppStatus;

/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(1);

/// To the upper left, and away with what is there.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Show the apps, their processes, and what these do
///
/// Requests, messages and CPU time are counted from the start of a process, an app's in its first line
/// from the start of the app. Latencies are from a request's head to its response's.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    /// This app alone
    #[arg(value_name = "APP")]
    app: Option<String>,
    /// For programs: a JSON array of apps; with --watch one a line
    #[arg(long)]
    json: bool,
    /// Again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

const EXAMPLES: &str = "\
Examples:
  hatchery status
  hatchery status cache --watch
  hatchery status --json";

impl Status {
    /// Shows what `fetch` says, on standard output.
    ///
    /// # Errors
    ///
    /// What `fetch` says; or there is no such app.
    pub(super) async fn execute(
        self,
        fetch: impl AsyncFn() -> anyhow::Result<Vec<AppStatus>>,
    ) -> anyhow::Result<()> {
        let output = Output { clear: io::stdout().is_terminal(), style: Style::of_stdout, every: EVERY };
        self.show(&mut io::stdout(), &output, fetch).await
    }

    async fn show(
        &self,
        out: &mut impl Write,
        output: &Output,
        fetch: impl AsyncFn() -> anyhow::Result<Vec<AppStatus>>,
    ) -> anyhow::Result<()> {
        let mut turns = interval(output.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let text = self.text(&self.chosen(fetch().await?)?, output)?;
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Ok(()) if self.watch => {}
                Ok(()) => return Ok(()),
                // `| head` has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn chosen(&self, mut apps: Vec<AppStatus>) -> anyhow::Result<Vec<AppStatus>> {
        let Some(name) = &self.app else { return Ok(apps) };
        let there: Vec<String> = apps.iter().map(|app| app.name.clone()).collect();
        apps.retain(|app| app.name == *name);
        match (apps.is_empty(), there.is_empty()) {
            (true, true) => bail!("no app {name} is here, nor any other"),
            (true, false) => bail!("no app {name} is here; there are: {}", there.join(", ")),
            (false, _) => Ok(apps),
        }
    }

    fn text(&self, apps: &[AppStatus], output: &Output) -> anyhow::Result<String> {
        if self.json {
            let json =
                if self.watch { serde_json::to_string(apps) } else { serde_json::to_string_pretty(apps) };
            return Ok(json? + "\n");
        }
        let table = table::render(apps, (output.style)());
        let table = if apps.is_empty() { "no apps\n".to_owned() } else { table };
        Ok(match (self.watch, output.clear) {
            (true, true) => format!("{CLEAR}{table}"),
            // One after the other.
            (true, false) => table + "\n",
            (false, _) => table,
        })
    }
}

/// Where it goes.
struct Output {
    /// The last one is to be cleared away.
    clear: bool,
    /// Asked each time: a terminal's width may change.
    style: fn() -> Style,
    every: Duration,
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const APPS: [&str; 2] = ["cache", "origin"];

    async fn shown(status: Status, clear: bool) -> (String, anyhow::Result<()>) {
        let (mut out, asked) = (vec![], Cell::new(0));
        let output = Output { clear, style: || Style::PLAIN, every: Duration::from_millis(1) };
        let ended = status
            .show(&mut out, &output, async || {
                asked.set(asked.get() + 1);
                if asked.get() > 2 {
                    bail!("the master is gone");
                }
                Ok(APPS.map(table::tests::app).to_vec())
            })
            .await;
        (String::from_utf8(out).unwrap(), ended)
    }

    #[tokio::test]
    async fn once_and_again() {
        let all = || Status { app: None, json: false, watch: false };
        let (once, ended) = shown(all(), true).await;
        ended.unwrap();
        assert_eq!(once, table::render(&APPS.map(table::tests::app), Style::PLAIN));
        for (clear, expected) in
            [(true, format!("{CLEAR}{once}").repeat(2)), (false, format!("{once}\n").repeat(2))]
        {
            let (text, ended) = shown(Status { watch: true, ..all() }, clear).await;
            assert_eq!(text, expected);
            assert_eq!(ended.unwrap_err().to_string(), "the master is gone");
        }
    }

    #[tokio::test]
    async fn one_app_and_json() {
        let one = |app: &str, json| Status { app: Some(app.to_owned()), json, watch: false };
        let (text, ended) = shown(one("origin", true), false).await;
        ended.unwrap();
        let apps: Vec<AppStatus> = serde_json::from_str(&text).unwrap();
        assert_eq!(apps, [table::tests::app("origin")]);
        let (_, ended) = shown(one("cash", false), false).await;
        assert_eq!(ended.unwrap_err().to_string(), "no app cash is here; there are: cache, origin");
        let (text, ended) = shown(Status { watch: true, ..one("cache", true) }, true).await;
        assert!(ended.is_err());
        assert_eq!(text.lines().count(), 2, "one document a line");
    }
}
