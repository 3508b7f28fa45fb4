//! Runs one command of a manifest: a build, or `hatchery test`'s. On a terminal a line shows that it
//! runs, and what it says scrolls by above; in a pipe it writes to standard error itself.

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe::Receiver,
    process::{self, Child},
    time::timeout,
};

use super::{super::progress::Progress, tools};
use crate::log::coloured;

/// The longest that one command may take.
const MAX_TIME: Duration = Duration::from_secs(3600);

/// The most bytes of a line that are shown in one piece.
const MAX_LINE: usize = 64 << 10;

/// How long the last words of a command are waited for once it has ended. What it leaves running keeps
/// its output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A command and where it runs.
pub(in crate::cli) struct Command<'a> {
    /// What is done: `building cache worker`.
    pub(in crate::cli) title: String,
    /// Never empty.
    pub(in crate::cli) words: &'a [String],
    /// The app's.
    pub(in crate::cli) folder: &'a Path,
}

impl Command<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// It can't be run, fails, or takes longer than an hour.
    pub(in crate::cli) async fn run(&self) -> anyhow::Result<()> {
        let Self { title, .. } = self;
        let shown = self.shown();
        let begun = Instant::now();
        let status = if io::stderr().is_terminal() {
            let progress = Progress::new(title.clone());
            progress.say(&shown);
            let status = self.show(&progress).await?;
            if status.success() {
                progress.done(&format!("{title}: done in {:.1} s", begun.elapsed().as_secs_f64()));
            }
            status
        } else {
            eprintln!("{title}: {shown}");
            self.pass_on().await?
        };
        if !status.success() {
            bail!("{title}: `{shown}` failed ({}); see what it said above", end(status));
        }
        Ok(())
    }

    /// As in a shell.
    pub(in crate::cli) fn shown(&self) -> String {
        let words = self.words.iter().map(String::as_str);
        shlex::try_join(words).unwrap_or_else(|_| self.words.join(" "))
    }

    /// In the app's folder, without input.
    ///
    /// # Errors
    /// There are no words.
    pub(in crate::cli) fn prepare(&self) -> anyhow::Result<process::Command> {
        let (tool, arguments) =
            self.words.split_first().with_context(|| format!("{}: the command is empty", self.title))?;
        // Else it would be looked for from where hatchery was started.
        let program = if tool.contains('/') { self.folder.join(tool) } else { PathBuf::from(tool) };
        let mut command = process::Command::new(program);
        command.args(arguments).current_dir(self.folder).stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Starts what was prepared. Killed when dropped.
    ///
    /// # Errors
    /// It can't be run; the text says what to do.
    pub(in crate::cli) fn spawn(&self, mut command: process::Command) -> anyhow::Result<Child> {
        command.spawn().map_err(|cause| {
            let tool = self.words.first().map_or("", String::as_str);
            let advice = tools::advice(tool, &cause);
            anyhow::Error::new(cause).context(format!("{}: can't run `{tool}`: {advice}", self.title))
        })
    }

    /// Waits, for as long as a command may take.
    ///
    /// # Errors
    /// It takes longer, or can't be waited for.
    pub(in crate::cli) async fn wait(&self, child: &mut Child) -> anyhow::Result<ExitStatus> {
        let shown = self.shown();
        let late =
            || anyhow!("{}: `{shown}` was stopped after {} minutes", self.title, MAX_TIME.as_secs() / 60);
        let status = timeout(MAX_TIME, child.wait()).await.map_err(|_| late())?;
        status.with_context(|| format!("{}: can't wait for `{shown}`", self.title))
    }

    /// Its output is ours.
    async fn pass_on(&self) -> anyhow::Result<ExitStatus> {
        let output = io::stderr().as_fd().try_clone_to_owned().context("can't share standard error")?;
        let mut command = self.prepare()?;
        command.stdout(Stdio::from(output));
        let mut child = self.spawn(command)?;
        self.wait(&mut child).await
    }

    /// Its output goes by above the line that shows that it runs.
    async fn show(&self, progress: &Progress) -> anyhow::Result<ExitStatus> {
        let (ours, theirs) = io::pipe().context("can't make a pipe")?;
        let mut command = self.prepare()?;
        command.stdout(theirs.try_clone().context("can't share a pipe")?).stderr(theirs);
        if coloured() {
            // It sees a pipe, and the user a terminal.
            command.env("CLICOLOR_FORCE", "1").env("FORCE_COLOR", "1");
        }
        // The parent's ends of the pipe go with the command.
        let mut child = self.spawn(command)?;
        let showing = scroll(Receiver::from_owned_fd(ours.into()).context("can't read a pipe")?, progress);
        tokio::pin!(showing);
        let mut is_shown = false;
        let waiting = self.wait(&mut child);
        tokio::pin!(waiting);
        let status = loop {
            tokio::select! {
                status = &mut waiting => break status?,
                () = &mut showing, if !is_shown => is_shown = true,
            }
        };
        if !is_shown {
            let _ = timeout(LAST_WORDS, showing).await;
        }
        Ok(status)
    }
}

/// Line by line, until it ends.
async fn scroll(mut output: Receiver, progress: &Progress) {
    let mut pending = Vec::new();
    let mut chunk = [0; 8 << 10];
    while let Ok(length @ 1..) = output.read(&mut chunk).await {
        pending.extend_from_slice(&chunk[..length]);
        while let Some(at) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=at).collect();
            progress.note(String::from_utf8_lossy(&line).trim_end());
        }
        if pending.len() > MAX_LINE {
            progress.note(&String::from_utf8_lossy(&std::mem::take(&mut pending)));
        }
    }
    if !pending.is_empty() {
        progress.note(&String::from_utf8_lossy(&pending));
    }
}

pub(in crate::cli) fn end(status: ExitStatus) -> String {
    // A signal's text is `signal: 9 (SIGKILL)`.
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}
