//! Text of others (guests, clients, components) made harmless for a log or a terminal.

use std::borrow::Cow;

use super::text::FURTHER;

/// Control characters and those that turn the direction of text are shown, not obeyed; a further line
/// is indented, so that it can't pass for one of its own.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 64);
    for c in text.trim_end().chars() {
        if c == '\n' {
            shown.push('\n');
            shown.push_str(FURTHER);
        } else if is_hostile(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn is_hostile(c: char) -> bool {
    let marks = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    let turns = matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    marks || turns || (c != '\t' && c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_table() {
        let cases = [
            ("plain, with\ttab and ünïcode", "plain, with\ttab and ünïcode"),
            ("a\x1b[31mred\rb", "a\\u{1b}[31mred\\rb"),
            ("x\u{202e}y\u{85}z", "x\\u{202e}y\\u{85}z"),
            ("one\n2026-01-01 INFO master ready\n", "one\n    2026-01-01 INFO master ready"),
            ("a\u{200f}b\u{61c}", "a\\u{200f}b\\u{61c}"),
            ("nul\0", "nul\\u{0}"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text), expected);
        }
    }
}
