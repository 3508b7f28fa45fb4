//! What processes say: one line an event, written whole with one call, to standard error.
//!
//! Every line says whose it is: `master`, or app, role and slot. What guests print comes here too
//! (targets [`GUEST_STDOUT`] and [`GUEST_STDERR`]).

mod limit;
mod printable;
pub mod rotate;
mod text;

use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, OnceLock},
};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use self::limit::{limit, say_dropped};
pub(crate) use self::printable::printable;
use crate::{cluster::Role, ipc::blackbox::BlackBox};

/// The target of what guests write to standard output.
pub const GUEST_STDOUT: &str = "guest.stdout";

/// The target of what guests write to standard error.
pub const GUEST_STDERR: &str = "guest.stderr";

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Format {
    /// As on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

static BLACKBOX: OnceLock<Arc<BlackBox>> = OnceLock::new();
static NAME: OnceLock<String> = OnceLock::new();
static ARGUMENTS: OnceLock<[String; 4]> = OnceLock::new();

/// Are colours wanted on standard error?
#[must_use]
pub fn coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Begins to write lines. Once per process.
pub fn init(format: Format, level: LevelFilter) {
    let arguments = ["--log-format", format.as_str(), "--log-level", &level.to_string()].map(str::to_owned);
    let _ = ARGUMENTS.set(arguments);
    // Libraries say much at `info` that is no user's business.
    let targets = Targets::new()
        .with_target("hatchery", level)
        .with_target("guest", level)
        .with_target("schedule", level)
        // It warns of whatever another host does to a guest's request, which the guest hears itself.
        .with_target("wasmtime_wasi_http", level.min(LevelFilter::ERROR))
        .with_default(level.min(LevelFilter::WARN));
    let registry = tracing_subscriber::registry().with(targets);
    match format {
        Format::Text => {
            let layer = tracing_subscriber::fmt::layer().with_ansi(coloured()).event_format(text::Text);
            registry.with(layer.with_writer(Writers)).init();
        }
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
            registry.with(layer.with_span_list(false).with_writer(Writers)).init();
        }
    }
}

/// From now on, lines go to this black box as well.
pub fn also_to(blackbox: &Arc<BlackBox>) {
    let _ = BLACKBOX.set(blackbox.clone());
}

/// Makes a writer for each line: whose it is decides what room there is for it.
struct Writers;

impl MakeWriter<'_> for Writers {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        Lines { from: limit::From::Host }
    }

    fn make_writer_for(&self, meta: &tracing::Metadata<'_>) -> Lines {
        let from = match meta.target() {
            GUEST_STDOUT | GUEST_STDERR => limit::From::Guest,
            limit::TARGET => limit::From::Here,
            _ => limit::From::Host,
        };
        Lines { from }
    }
}

/// Where lines go. The subscriber writes each with one call.
struct Lines {
    from: limit::From,
}

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !limit::takes(self.from, line.len()) {
            return Ok(line.len());
        }
        if let Some(blackbox) = BLACKBOX.get() {
            blackbox.log(line);
        }
        // Who read them may have gone. To say so there, as the subscriber would, ends the process.
        let _ = io::stderr().write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What makes a child's log look as this process's: options of the command line.
pub fn arguments() -> impl Iterator<Item = &'static str> {
    ARGUMENTS.get().into_iter().flatten().map(String::as_str)
}

/// From now on, this process's lines are of this part of this app.
pub fn name(app: &str, role: Role, slot: u32) {
    let part = match role {
        Role::Agent => format!("{app} agent"),
        Role::Worker => format!("{app} worker/{slot}"),
    };
    if NAME.set(part).is_ok() {
        // The one span that JSON lines show, for as long as the process lives.
        std::mem::forget(tracing::error_span!("process", app, %role, slot).entered());
    }
}

/// From now on, this process's lines are of this app's broker.
pub fn name_broker(app: &str) {
    if NAME.set(format!("{app} broker")).is_ok() {
        std::mem::forget(tracing::error_span!("process", app, role = "broker").entered());
    }
}
