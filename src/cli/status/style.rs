//! How a table looks where it goes: colours and cut lines on a terminal only.

use std::io::{self, IsTerminal as _};

use terminal_size::terminal_size_of;
use unicode_width::UnicodeWidthChar as _;

/// For text that was cut.
const MORE: &str = "…";

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As any other.
    Plain,
    /// The first of an app.
    Head,
    /// Something fails.
    Alarm,
}

/// Are there colours?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Coloured,
}

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) paint: Paint,
    /// Columns, where longer lines are to be cut.
    pub(super) width: Option<usize>,
}

impl Style {
    /// For a file or a pipe.
    pub(super) const PLAIN: Self = Self { paint: Paint::Plain, width: None };

    /// What standard output is now.
    pub(super) fn of_stdout() -> Self {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Self::PLAIN;
        }
        let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let paint = if coloured { Paint::Coloured } else { Paint::Plain };
        Self { paint, width: terminal_size_of(stdout).map(|(width, _)| usize::from(width.0)) }
    }

    /// A line as it is to be written, with its end.
    pub(super) fn line(self, tone: Tone, text: &str) -> String {
        let text = self.width.map_or_else(|| text.to_owned(), |width| cut(text, width));
        let code = match (self.paint, tone) {
            (Paint::Plain, _) | (Paint::Coloured, Tone::Plain) => return text + "\n",
            (Paint::Coloured, Tone::Head) => "1",
            (Paint::Coloured, Tone::Alarm) => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m\n")
    }
}

fn cut(text: &str, width: usize) -> String {
    let columns = |c: char| c.width().unwrap_or(0);
    if text.chars().map(columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let enough = columns(*c) <= left;
        left = left.saturating_sub(columns(*c));
        enough
    };
    text.chars().take_while(fits).chain(MORE.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_a_table() {
        use Tone::{Alarm, Head};
        for (paint, width, tone, expected) in [
            (Paint::Plain, None, Alarm, "signal 9 日本\n"),
            (Paint::Plain, Some(13), Alarm, "signal 9 日本\n"),
            (Paint::Plain, Some(12), Head, "signal 9 日…\n"),
            (Paint::Plain, Some(11), Head, "signal 9 …\n"),
            (Paint::Plain, Some(3), Head, "si…\n"),
            (Paint::Coloured, Some(4), Tone::Plain, "sig…\n"),
            (Paint::Coloured, Some(4), Alarm, "\x1b[31msig…\x1b[0m\n"),
            (Paint::Coloured, None, Head, "\x1b[1msignal 9 日本\x1b[0m\n"),
        ] {
            assert_eq!(Style { paint, width }.line(tone, "signal 9 日本"), expected);
        }
    }
}
