//! The table of `hatchery status --limits`: for each app its limits, what is taken of them, and how often
//! they were hit. Pure.

use std::time::Duration;

use bytesize::ByteSize;

use super::style::{Style, Tone};
use crate::master::{AppStatus, LimitStatus, Scope, Unit};

const HEADS: [&str; 5] = ["LIMIT", "OF", "MOST", "USED", "HITS"];

/// What is not known.
const NONE: &str = "-";

/// All apps' tables.
pub(super) fn render(apps: &[AppStatus], style: Style) -> String {
    let mut text = String::new();
    for app in apps {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &style.line(Tone::Head, &app.name);
        let rows: Vec<[String; 5]> = app.limits.iter().map(row).collect();
        let widths: [usize; 5] = std::array::from_fn(|column| {
            rows.iter().map(|row| row[column].len()).chain([HEADS[column].len()]).max().unwrap_or(0)
        });
        text += &style.line(Tone::Plain, &line(&HEADS.map(str::to_owned), &widths));
        for (limit, row) in app.limits.iter().zip(&rows) {
            let tone = if limit.hits.is_some_and(|hits| hits > 0) { Tone::Alarm } else { Tone::Plain };
            text += &style.line(tone, &line(row, &widths));
        }
    }
    text
}

fn line(cells: &[String; 5], widths: &[usize; 5]) -> String {
    let [key, scope, rest @ ..] = cells;
    let mut line = format!("  {key:<0$}  {scope:<1$}", widths[0], widths[1]);
    for (cell, width) in rest.iter().zip(&widths[2..]) {
        line += &format!("  {cell:>width$}", width = *width);
    }
    line
}

fn row(limit: &LimitStatus) -> [String; 5] {
    let scope = match limit.scope {
        Scope::App => "app",
        Scope::Process => "process",
        Scope::Worker => "worker",
        Scope::Instance => "instance",
        Scope::Request => "request",
        Scope::Message => "message",
    };
    let shown = |number: Option<u64>| number.map_or_else(|| NONE.to_owned(), |n| quantity(n, limit.unit));
    let most = limit.limit.map_or_else(|| "any".to_owned(), |most| quantity(most, limit.unit));
    let hits = limit.hits.map_or_else(|| NONE.to_owned(), |hits| hits.to_string());
    [limit.key.clone(), scope.to_owned(), most, shown(limit.used), hits]
}

fn quantity(number: u64, unit: Unit) -> String {
    let bytes = || ByteSize::b(number).display().iec().to_string();
    match unit {
        Unit::Bytes => bytes(),
        Unit::BytesPerSecond => format!("{}/s", bytes()),
        Unit::Milliseconds => humantime::format_duration(Duration::from_millis(number)).to_string(),
        Unit::Number => number.to_string(),
        Unit::PerSecond => format!("{number}/s"),
        Unit::Hundredths => (number as f64 / 100.0).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let limit = |key: &str, scope, unit, limit, used, hits| LimitStatus {
            key: key.to_owned(),
            scope,
            unit,
            limit,
            used,
            hits,
        };
        let mut app = super::super::table::tests::app("cache");
        app.limits = vec![
            limit("memory", Scope::Instance, Unit::Bytes, Some(256 << 20), Some(1 << 20), Some(0)),
            limit("message-rate", Scope::App, Unit::PerSecond, Some(1000), Some(12), Some(34)),
            limit("cpu-limit", Scope::Request, Unit::Milliseconds, Some(1500), None, None),
            limit("app-memory", Scope::App, Unit::Bytes, None, None, Some(0)),
            limit("log-rate", Scope::Process, Unit::BytesPerSecond, Some(1 << 20), None, Some(0)),
        ];
        let expected = "\
cache
  LIMIT         OF              MOST     USED  HITS
  memory        instance   256.0 MiB  1.0 MiB     0
  message-rate  app           1000/s     12/s    34
  cpu-limit     request     1s 500ms        -     -
  app-memory    app              any        -     0
  log-rate      process  1.0 MiB/s          -     0
";
        let found = render(&[app], Style::PLAIN);
        let squeeze = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(squeeze(&found), squeeze(expected), "{found}");
    }
}
