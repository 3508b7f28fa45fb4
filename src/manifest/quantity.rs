//! Durations ("1h 30m") and sizes ("128MiB") of the manifest, and the bounds of a setting.

use std::time::Duration;

use bytesize::ByteSize;

use super::{
    document::{At, Section, short, wrong_type},
    error::Mistakes,
};

/// What a setting is without the key, and between what it may lie (both included).
#[derive(Clone, Copy, Debug)]
pub struct Bounds<T> {
    /// Without the key.
    pub default: T,
    /// The least.
    pub min: T,
    /// The most.
    pub max: T,
}

/// Why a text is no quantity, and what to write instead.
#[derive(Debug, PartialEq)]
struct Wrong {
    title: String,
    help: String,
}

impl Section<'_, '_> {
    /// A duration within bounds; the default without the key, and after a mistake.
    pub(super) fn duration(
        &self,
        key: &'static str,
        range: &Bounds<Duration>,
        mistakes: &mut Mistakes,
    ) -> Duration {
        self.quantity(key, range, parse_duration, |d| humantime::format_duration(*d).to_string(), mistakes)
    }

    /// A size in bytes within bounds; the default without the key, and after a mistake.
    pub(super) fn size(&self, key: &'static str, range: &Bounds<u64>, mistakes: &mut Mistakes) -> u64 {
        self.quantity(key, range, parse_size, |n| show_size(*n), mistakes)
    }

    fn quantity<T: Copy + PartialOrd>(
        &self,
        key: &'static str,
        range: &Bounds<T>,
        parse: fn(&str, &str) -> Result<T, Wrong>,
        show: fn(&T) -> String,
        mistakes: &mut Mistakes,
    ) -> T {
        let Some(At { value: text, span }) = self.quantity_text(key, parse, mistakes) else {
            return range.default;
        };
        match parse(key, &text) {
            Ok(found) if (range.min..=range.max).contains(&found) => return found,
            Ok(_) => {
                let help = format!("it goes from {} to {}", show(&range.min), show(&range.max));
                mistakes.at(span, format!("`{key}` is out of range"), help);
            }
            Err(wrong) => mistakes.at(span, wrong.title, wrong.help),
        }
        range.default
    }

    /// The value's text. A bare number gets the message of a text that lacks its unit.
    fn quantity_text<T>(
        &self,
        key: &'static str,
        parse: fn(&str, &str) -> Result<T, Wrong>,
        mistakes: &mut Mistakes,
    ) -> Option<At<String>> {
        let value = self.get(key)?;
        let text = value.get_ref();
        if let Some(number) = text.as_integer() {
            Some(At { value: number.as_str().to_owned(), span: value.span() })
        } else if let Some(number) = text.as_float() {
            Some(At { value: number.as_str().to_owned(), span: value.span() })
        } else if let Some(text) = text.as_str() {
            Some(At { value: text.to_owned(), span: value.span() })
        } else {
            let help = parse(key, "1").err().map_or(String::new(), |wrong| wrong.help);
            wrong_type(format!("`{key}`"), "a number with a unit, in quotes", value, &help, mistakes);
            None
        }
    }
}

fn parse_duration(key: &str, text: &str) -> Result<Duration, Wrong> {
    if is_number(text) {
        let title = format!("`{key}` has no unit");
        return Err(Wrong { title, help: format!("for seconds, write `{key} = \"{text}s\"`") });
    }
    humantime::parse_duration(text).map_err(|cause| {
        let title = format!("`{key}` is not a duration: {cause}");
        Wrong { title, help: format!("write it like `{key} = \"30s\"`, \"500ms\" or \"1h 30m\"") }
    })
}

fn parse_size(key: &str, text: &str) -> Result<u64, Wrong> {
    if is_number(text) {
        let title = format!("`{key}` has no unit");
        // Large enough for bytes to be meant.
        let (name, unit) = if text.len() > 4 { ("bytes", "B") } else { ("mebibytes", "MiB") };
        return Err(Wrong { title, help: format!("for {name}, write `{key} = \"{text}{unit}\"`") });
    }
    let size: Result<ByteSize, _> = text.parse();
    size.map(|size| size.as_u64()).map_err(|_| {
        let title = format!("`{key}` is not a size: `{}`", short(text));
        Wrong { title, help: format!("write it like `{key} = \"128MiB\"`, \"64KB\" or \"1.5GiB\"") }
    })
}

/// As a user may write it too.
pub(crate) fn show_size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string().replace(".0 ", "").replace(' ', "")
}

fn is_number(text: &str) -> bool {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_a_table() {
        let seconds = |text| parse_duration("interval", text).map(|d| d.as_secs_f64()).ok();
        let cases = [
            ("30s", Some(30.0)),
            ("10m", Some(600.0)),
            ("1h 30m", Some(5400.0)),
            ("1h30m", Some(5400.0)),
            ("1.5s", Some(1.5)),
            ("500ms", Some(0.5)),
            ("0s", Some(0.0)),
            ("30", None),
            ("", None),
            ("-1s", None),
            ("soon", None),
            ("10 parsecs", None),
            ("99999999999999999999s", None),
            ("18446744073709551615years", None),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_as_a_table() {
        let cases = [
            ("128MiB", Some(128 << 20)),
            ("64KB", Some(64_000)),
            ("64 KiB", Some(65_536)),
            ("1.5GiB", Some(3 << 29)),
            ("0B", Some(0)),
            ("128", None),
            ("12_8", None),
            ("", None),
            ("-1MiB", None),
            ("lots", None),
            ("MiB", None),
            ("1 MiB MiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size("memory", text).ok(), expected, "{text:?}");
        }
        // What is past 64 bits is far past every bound.
        assert_eq!(parse_size("memory", "99999999EiB").ok(), Some(u64::MAX));
    }

    #[test]
    fn a_number_without_a_unit_is_told_what_to_write() {
        let wrong = parse_duration("request-timeout", "30").expect_err("has no unit");
        assert_eq!(wrong.help, "for seconds, write `request-timeout = \"30s\"`");
        let wrong = parse_size("memory", "128").expect_err("has no unit");
        assert_eq!(wrong.help, "for mebibytes, write `memory = \"128MiB\"`");
    }
}
