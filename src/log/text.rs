//! A line for people: `2026-11-20T06:49:24.123Z INFO cache worker/0 out | ready`.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{GUEST_STDERR, GUEST_STDOUT, NAME, printable::printable};

pub(super) struct Text;

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
        let now = jiff::Timestamp::now();
        let level = *event.metadata().level();
        let (dim, colour, plain) =
            if writer.has_ansi_escapes() { ("\x1b[2m", colour(level), "\x1b[0m") } else { ("", "", "") };
        let name = NAME.get().map_or("master", String::as_str);
        write!(writer, "{dim}{now:.3}{plain} {colour}{level:<5}{plain} {name} ")?;
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

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}
