//! What processes say: one line an event, written whole with one call, to standard error. A child's is a pipe
//! to the master, which puts its lines into the log.
//!
//! Every line there says whose it is: `master`, or app, role and slot. What guests print comes here too
//! (targets [`GUEST_STDOUT`] and [`GUEST_STDERR`]).

mod checked;
mod collect;
mod limit;
mod printable;
pub mod rotate;
mod split;
mod text;
mod whose;

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

use self::checked::Look;
pub use self::{
    collect::{RATE, collect, finish},
    limit::{limit, say_dropped},
    whose::Whose,
};
pub(crate) use self::{printable::printable, split::split};
use crate::ipc::blackbox::BlackBox;

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
static FORMAT: OnceLock<(Format, LevelFilter)> = OnceLock::new();

/// Who writes lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A master, or a verb that is done at once: straight into the log.
    Master,
    /// A child: to the master, which knows whose they are, and what a terminal is shown.
    Child,
}

/// Are colours wanted on standard error?
#[must_use]
pub fn coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Begins to write lines. Once per process.
pub fn init(format: Format, level: LevelFilter, writer: Writer) {
    let _ = FORMAT.set((format, level));
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
            let (name, coloured) = match writer {
                Writer::Master => (Some("master"), coloured()),
                Writer::Child => (None, false),
            };
            let layer =
                tracing_subscriber::fmt::layer().with_ansi(coloured).event_format(text::Text { name });
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
pub fn arguments() -> impl Iterator<Item = String> {
    let options = FORMAT.get().map(|(format, level)| {
        ["--log-format".to_owned(), format.as_str().to_owned(), "--log-level".to_owned(), level.to_string()]
    });
    options.into_iter().flatten()
}

/// How lines of children are to look here.
fn look() -> Look {
    let format = FORMAT.get().map(|(format, _)| *format).unwrap_or_default();
    Look { format, coloured: coloured() }
}
