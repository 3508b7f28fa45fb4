//! A line for people: `2026-11-20T06:49:24.123Z INFO cache worker/0 out | ready`. A child leaves its name out,
//! which the master puts in (`checked`).

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{GUEST_STDERR, GUEST_STDOUT, printable::printable};

/// Letters that a level takes.
pub(super) const LEVEL: usize = 5;

/// What further lines of an event begin with.
pub(super) const FURTHER: &str = "    ";

pub(super) struct Text {
    /// Whose lines they are. `None`: the master knows.
    pub(super) name: Option<&'static str>,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let coloured = writer.has_ansi_escapes();
        head(
            &mut writer,
            format_args!("{:.3}", jiff::Timestamp::now()),
            *event.metadata().level(),
            coloured,
        )?;
        if let Some(name) = self.name {
            write!(writer, "{name} ")?;
        }
        match event.metadata().target() {
            GUEST_STDOUT => writer.write_str("out | ")?,
            GUEST_STDERR => writer.write_str("err | ")?,
            "schedule" => writer.write_str("schedule ")?,
            _ => {}
        }
        let mut fields = String::new();
        context.field_format().format_fields(Writer::new(&mut fields), event)?;
        writeln!(writer, "{}", printable(&fields))
    }
}

/// The time and the level, and a blank after each.
pub(super) fn head(
    to: &mut impl fmt::Write,
    time: impl fmt::Display,
    level: Level,
    coloured: bool,
) -> fmt::Result {
    let (dim, colour, plain) = if coloured { ("\x1b[2m", colour(level), "\x1b[0m") } else { ("", "", "") };
    write!(to, "{dim}{time}{plain} {colour}{level:<LEVEL$}{plain} ")
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}
