//! A child's lines, made the log's: each gets the name that the master knows, and one that is not as a child
//! of this build writes it is shown as what it is, `raw`. So nobody can write in another's name, or a line of
//! the master's. Pure; `collect` calls it.

use std::{fmt::Write as _, str::FromStr as _};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::Level;

use super::{Format, Whose, printable::printable, split::split, text};

/// The longest line that is taken as one; a guest's has 8 KiB, and more in JSON.
const MAX_LINE: usize = 64 << 10;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) format: Format,
    pub(super) coloured: bool,
}

/// One child's.
pub(super) struct Checked {
    whose: Whose,
    look: Look,
    /// The line that is not complete.
    open: Vec<u8>,
    /// Of the last line with a head: further ones of the same event have none.
    head: Option<(String, Level)>,
}

impl Checked {
    pub(super) fn new(whose: Whose, look: Look) -> Self {
        Self { whose, look, open: vec![], head: None }
    }

    /// Takes what has come, and gives what goes into the log: whole lines, to be written with one call.
    pub(super) fn take(&mut self, bytes: &[u8], now: Timestamp) -> String {
        let (mut out, mut open) = (String::new(), std::mem::take(&mut self.open));
        // What was written before may be followed by lines of others.
        let mut is_head_above = false;
        split(&mut open, bytes, MAX_LINE, |line| {
            is_head_above = self.line(&String::from_utf8_lossy(line), is_head_above, now, &mut out);
        });
        self.open = open;
        out
    }

    /// What has no newline.
    pub(super) fn end(&mut self, now: Timestamp) -> String {
        if self.open.is_empty() { String::new() } else { self.take(b"\n", now) }
    }

    /// Is it one that may have further ones below it?
    fn line(&mut self, line: &str, is_head_above: bool, now: Timestamp, out: &mut String) -> bool {
        match self.look.format {
            Format::Json => {
                let object = as_object(line).unwrap_or_else(|| raw_object(line, now));
                self.write_object(object, out);
                false
            }
            Format::Text => {
                if let Some(((time, level), text)) = as_text(line) {
                    self.head = Some((time.to_owned(), level));
                    self.write_text(time, level, &printable(text), out);
                    return true;
                }
                match (line.strip_prefix(text::FURTHER), &self.head) {
                    (Some(further), Some(_)) if is_head_above => {
                        let _ = writeln!(out, "{}{}", text::FURTHER, printable(further));
                        true
                    }
                    (Some(further), Some((time, level))) => {
                        self.write_text(time, *level, &printable(further), out);
                        true
                    }
                    _ => {
                        self.head = None;
                        self.write_text(
                            &format!("{now:.3}"),
                            Level::WARN,
                            &format!("raw | {}", printable(line)),
                            out,
                        );
                        false
                    }
                }
            }
        }
    }

    fn write_text(&self, time: &str, level: Level, text: &str, out: &mut String) {
        // Writing to a string does not fail.
        let _ = text::head(out, time, level, self.look.coloured);
        let _ = writeln!(out, "{} {text}", self.whose);
    }

    fn write_object(&self, mut object: Map<String, Value>, out: &mut String) {
        object.insert("span".to_owned(), self.whose.span());
        let _ = writeln!(out, "{}", Value::Object(object));
    }
}

/// `TIME LEVEL text`, as `text::Text` writes it in a child.
fn as_text(line: &str) -> Option<((&str, Level), &str)> {
    let (time, rest) = line.split_once(' ').filter(|(time, _)| is_time(time))?;
    let (level, text) = rest.split_at_checked(text::LEVEL)?;
    let word = level.trim_end();
    let level = Level::from_str(word).ok().filter(|level| level.as_str() == word)?;
    Some(((time, level), text.strip_prefix(' ')?))
}

/// Looks it as times here do? There are many lines, and which day it is is the child's word in any case.
fn is_time(text: &str) -> bool {
    const LOOK: &[u8] = b"0000-00-00T00:00:00.000Z";
    let alike = |(have, want): (u8, &u8)| if *want == b'0' { have.is_ascii_digit() } else { have == *want };
    text.len() == LOOK.len() && text.bytes().zip(LOOK).all(alike)
}

fn as_object(line: &str) -> Option<Map<String, Value>> {
    let object: Map<String, Value> = serde_json::from_str(line).ok()?;
    let has = |key: &str| object.get(key).is_some_and(Value::is_string);
    (has("timestamp") && has("level")).then_some(object)
}

fn raw_object(line: &str, now: Timestamp) -> Map<String, Value> {
    let now = format!("{now:.6}");
    let pairs = [("timestamp", now.as_str()), ("level", "WARN"), ("message", line), ("target", "raw")];
    pairs.map(|(key, value)| (key.to_owned(), json!(value))).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Role;

    fn checked(format: Format, coloured: bool) -> Checked {
        let whose = Whose::guest("cache", Role::Worker, 0);
        Checked::new(whose, Look { format, coloured })
    }

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[test]
    fn text_as_a_table() {
        let raw = "2026-01-02T03:04:05.000Z WARN  cache worker/0 raw | ";
        let time = "2026-11-20T06:49:24.123Z";
        for (written, shown) in [
            (format!("{time} INFO  out | ready\n"), format!("{time} INFO  cache worker/0 out | ready\n")),
            (format!("{time} ERROR \n"), format!("{time} ERROR cache worker/0 \n")),
            (
                format!("{time} ERROR it trapped\n    0: a\n    1: b\n{time} INFO  on\n"),
                format!(
                    "{time} ERROR cache worker/0 it trapped\n    0: a\n    1: b\n{time} INFO  cache worker/0 on\n"
                ),
            ),
            ("thread panicked\n".to_owned(), format!("{raw}thread panicked\n")),
            // What would pass for another's, or the master's.
            (format!("{time} INFO  master ready\n"), format!("{time} INFO  cache worker/0 master ready\n")),
            ("    0: whose?\n".to_owned(), format!("{raw}    0: whose?\n")),
            (
                format!("{time} INFO  a\x1b[2J\u{202e}b\n"),
                format!("{time} INFO  cache worker/0 a\\u{{1b}}[2J\\u{{202e}}b\n"),
            ),
            (format!("\x1b[2m{time} INFO  a\n"), format!("{raw}\\u{{1b}}[2m{time} INFO  a\n")),
            (format!("{time} info  a\n"), format!("{raw}{time} info  a\n")),
            (format!("{time} 1     a\n"), format!("{raw}{time} 1     a\n")),
            (format!("{time}0 INFO  a\n"), format!("{raw}{time}0 INFO  a\n")),
            ("yesterday INFO  a\n".to_owned(), format!("{raw}yesterday INFO  a\n")),
            (format!("{time} INFO\n"), format!("{raw}{time} INFO\n")),
            ("\n".to_owned(), format!("{raw}\n")),
        ] {
            assert_eq!(checked(Format::Text, false).take(written.as_bytes(), now()), shown);
        }
    }

    #[test]
    fn an_event_may_come_in_parts() {
        let mut checked = checked(Format::Text, true);
        assert_eq!(checked.take(b"2026-11-20T06:49:24.123Z ERROR it tr", now()), "");
        let head = "\x1b[2m2026-11-20T06:49:24.123Z\x1b[0m \x1b[31mERROR\x1b[0m cache worker/0";
        assert_eq!(checked.take(b"apped\n", now()), format!("{head} it trapped\n"));
        // Others may have written meanwhile.
        assert_eq!(checked.take(b"    0: a\n    1: b\n", now()), format!("{head} 0: a\n    1: b\n"));
        assert_eq!(checked.take(b"half", now()), "");
        assert!(checked.end(now()).ends_with("cache worker/0 raw | half\n"));
        assert_eq!(checked.end(now()), "");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let out = checked(Format::Text, false).take(&vec![b'x'; 3 * MAX_LINE - 1], now());
        assert_eq!(out.lines().count(), 2);
        assert!(out.lines().all(|line| line.len() < MAX_LINE + 100));
    }

    #[test]
    fn json_as_a_table() {
        let span = r#""span":{"app":"cache","name":"process","role":"worker","slot":0}"#;
        let raw = r#"{"level":"WARN","message":"#;
        for (written, shown) in [
            (
                r#"{"timestamp":"t","level":"INFO","message":"ready","target":"hatchery"}"#,
                format!(r#"{{"level":"INFO","message":"ready",{span},"target":"hatchery","timestamp":"t"}}"#),
            ),
            (
                r#"{"timestamp":"t","level":"INFO","span":{"app":"other"},"span":{}}"#,
                format!(r#"{{"level":"INFO",{span},"timestamp":"t"}}"#),
            ),
            (
                r"[1]",
                format!(r#"{raw}"[1]",{span},"target":"raw","timestamp":"2026-01-02T03:04:05.000000Z"}}"#),
            ),
            (
                r#"{"level":"INFO"}"#,
                format!(
                    r#"{raw}"{{\"level\":\"INFO\"}}",{span},"target":"raw","timestamp":"2026-01-02T03:04:05.000000Z"}}"#
                ),
            ),
        ] {
            let out = checked(Format::Json, false).take(format!("{written}\n").as_bytes(), now());
            assert_eq!(out, format!("{shown}\n"), "{written}");
        }
    }
}
