//! `hatchery status`: asks, and shows what was said; with `--watch` again and again.

mod denied;
mod limits;
mod sandbox;
mod style;
mod table;

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use anyhow::bail;
use tokio::time::{MissedTickBehavior, interval};

use self::style::Style;
use super::home::Home;
use crate::{
    admin::{self, Client},
    log::printable,
};

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
    /// For programs: all of it as JSON; with --watch a line each time
    #[arg(long)]
    json: bool,
    /// Again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// The apps' limits, what is taken of them, and how often they were hit
    #[arg(long)]
    limits: bool,
    /// What each process is shut into, instead of what it does
    #[arg(long, conflicts_with = "limits")]
    sandbox: bool,
    #[command(flatten)]
    home: Home,
}

const EXAMPLES: &str = "\
Examples:
  hatchery status
  hatchery status cache --watch
  hatchery status cache --limits
  hatchery status --json";

impl Status {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let client = Client::new(self.home.of_master()?);
        let output = Output { clear: io::stdout().is_terminal(), style: Style::of_stdout, every: EVERY };
        self.show(&mut io::stdout(), &output, async || client.get("/v1/status").await).await
    }

    async fn show(
        &self,
        out: &mut impl Write,
        output: &Output,
        fetch: impl AsyncFn() -> anyhow::Result<admin::Status>,
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

    fn chosen(&self, mut status: admin::Status) -> anyhow::Result<admin::Status> {
        let Some(name) = &self.app else { return Ok(status) };
        let apps = status.apps.iter().map(|app| &app.name);
        let there: Vec<String> = apps.chain(status.failed.iter().map(|app| &app.name)).cloned().collect();
        status.apps.retain(|app| app.name == *name);
        status.failed.retain(|app| app.name == *name);
        status.helpers.retain(|helper| helper.app.as_ref() == Some(name));
        match (there.contains(name), there.is_empty()) {
            (true, _) => Ok(status),
            (false, true) => bail!("no app {name} is here, nor any other"),
            (false, false) => bail!("no app {name} is here; there are: {}", there.join(", ")),
        }
    }

    fn text(&self, status: &admin::Status, output: &Output) -> anyhow::Result<String> {
        if self.json {
            let json =
                if self.watch { serde_json::to_string(status) } else { serde_json::to_string_pretty(status) };
            return Ok(json? + "\n");
        }
        let style = (output.style)();
        let mut table = match (self.sandbox, self.limits) {
            (true, _) if !status.helpers.is_empty() => sandbox::render(&status.apps, &status.helpers),
            _ if status.apps.is_empty() => table::render(&status.apps, style),
            (true, _) => sandbox::render(&status.apps, &[]),
            (false, true) => limits::render(&status.apps, style),
            (false, false) => table::render(&status.apps, style),
        };
        for app in &status.failed {
            let reason = app.reason.lines().next().unwrap_or_default();
            let line = format!("{} does not run, and is tried again: {reason}", app.name);
            table += &printable(&line);
            table.push('\n');
        }
        if table.is_empty() {
            "nothing is deployed; see `hatchery deploy --help`\n".clone_into(&mut table);
        }
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

    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::admin::FailedApp;

    const APPS: [&str; 2] = ["cache", "origin"];

    fn all() -> admin::Status {
        admin::Status {
            hatchery: "0.1.0".to_owned(),
            os_pid: 1,
            home: "/home".to_owned(),
            apps: APPS.map(table::tests::app).to_vec(),
            failed: vec![FailedApp { name: "bad".to_owned(), reason: "its port is taken".to_owned() }],
            helpers: vec![],
        }
    }

    async fn shown(arguments: &[&str], clear: bool) -> (String, anyhow::Result<()>) {
        let command = Status::augment_args(clap::Command::new("status"));
        let matches = command.get_matches_from([&["status"], arguments].concat());
        let status = Status::from_arg_matches(&matches).unwrap();
        let (mut out, asked) = (vec![], Cell::new(0));
        let output = Output { clear, style: || Style::PLAIN, every: Duration::from_millis(1) };
        let ended = status
            .show(&mut out, &output, async || {
                asked.set(asked.get() + 1);
                if asked.get() > 2 {
                    bail!("the master is gone");
                }
                Ok(all())
            })
            .await;
        (String::from_utf8(out).unwrap(), ended)
    }

    #[tokio::test]
    async fn once_and_again() {
        let (once, ended) = shown(&[], true).await;
        ended.unwrap();
        let table = table::render(&all().apps, Style::PLAIN);
        assert_eq!(once, table + "bad does not run, and is tried again: its port is taken\n");
        for (clear, expected) in
            [(true, format!("{CLEAR}{once}").repeat(2)), (false, format!("{once}\n").repeat(2))]
        {
            let (text, ended) = shown(&["--watch"], clear).await;
            assert_eq!(text, expected);
            assert_eq!(ended.unwrap_err().to_string(), "the master is gone");
        }
    }

    #[tokio::test]
    async fn one_app_and_json() {
        let (text, ended) = shown(&["origin", "--json"], false).await;
        ended.unwrap();
        let status: admin::Status = serde_json::from_str(&text).unwrap();
        assert_eq!(status.apps, [table::tests::app("origin")]);
        let (_, ended) = shown(&["cash"], false).await;
        assert_eq!(ended.unwrap_err().to_string(), "no app cash is here; there are: cache, origin, bad");
        let (text, ended) = shown(&["cache", "--watch", "--json"], true).await;
        assert!(ended.is_err());
        assert_eq!(text.lines().count(), 2, "one document a line");
    }
}
