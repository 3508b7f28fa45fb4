//! What `push` and `pull` have in common: options, progress on a terminal, and the result's form.

use std::{future::Future, io::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    digest::Digest,
    oci::{Kind, OciError, Options, Progress, Reference, Transport},
};

/// `--plain-http` and `--json`.
#[derive(Debug, clap::Args)]
pub(super) struct Registry {
    /// Speak HTTP without TLS: for a registry on a network that you trust
    #[arg(long)]
    plain_http: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What was done, for the user.
#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    pub(super) reference: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) kind: Kind,
    pub(super) file: &'a Path,
}

impl Registry {
    /// How to talk to a registry; progress is shown on standard error, if that is a terminal.
    pub(super) fn options(&self) -> Options {
        options(self.plain_http)
    }

    /// `pushed reference=… digest=… size=… kind=… file=…`, or an object with the same keys.
    pub(super) fn print(&self, verb: &str, outcome: &Outcome<'_>) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, outcome)?;
            writeln!(out)?;
            return Ok(());
        }
        let Outcome { reference, digest, size, kind, file } = outcome;
        let kind = match kind {
            Kind::Bundle => "bundle",
            Kind::Component => "component",
        };
        let file = file.display();
        writeln!(out, "{verb} reference={reference} digest={digest} size={size} kind={kind} file={file}")?;
        Ok(())
    }
}

/// As [`Registry::options`], for a command with a `--plain-http` of its own.
pub(super) fn options(plain_http: bool) -> Options {
    let transport = if plain_http { Transport::PlainHttp } else { Transport::Tls };
    Options { transport, progress: Arc::new(Bar(ProgressBar::no_length())) }
}

/// Waits for it, or for Ctrl-C: then it is dropped, and takes its temporary file with it.
pub(super) async fn unless_interrupted<T>(
    reference: &Reference,
    work: impl Future<Output = Result<T, OciError>>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = work => Ok(done?),
        _ = tokio::signal::ctrl_c() => bail!("interrupted; {reference} was not taken to its end"),
    }
}

/// A bar on a terminal, nothing in a pipe.
struct Bar(ProgressBar);

/// Between two looks of the bar.
const TICK: Duration = Duration::from_millis(100);

impl Progress for Bar {
    fn begin(&self, bytes: u64) {
        let style = "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            self.0.set_style(style);
        }
        self.0.set_length(bytes);
        self.0.enable_steady_tick(TICK);
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
