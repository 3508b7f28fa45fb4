//! What is wrong with a manifest, and how that is shown.
//!
//! `check` and its neighbours collect [`Mistakes`]; a caller of `manifest` gets them as one
//! [`ManifestError`] per file. Text from the file is shown escaped and cut to one line, so that neither a
//! control sequence nor a line of a megabyte reaches the terminal.

use std::{fmt, ops::Range, path::PathBuf};

use annotate_snippets::{
    AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

/// The most mistakes that are shown for one file.
const MAX_MISTAKES: usize = 50;

/// The most bytes of a line that are shown before and after the place of a mistake.
const MAX_LINE_CONTEXT: usize = 400;

/// Everything that is wrong with one manifest. `Display` shows it without colour.
#[derive(Debug)]
pub struct ManifestError {
    /// The file as the user named it; `None` for the command line.
    path: Option<PathBuf>,
    /// Its text as far as it could be read.
    text: String,
    mistakes: Vec<Mistake>,
    left_out: usize,
}

/// What is wrong with the manifests that belong together. Never empty.
#[derive(Debug)]
pub struct ManifestErrors(pub Vec<ManifestError>);

/// One mistake.
#[derive(Debug)]
pub(super) struct Mistake {
    /// What is wrong.
    pub(super) title: String,
    /// What to write instead.
    pub(super) help: String,
    pub(super) place: Place,
}

/// Where a mistake is.
#[derive(Debug)]
pub(super) enum Place {
    /// The file as a whole.
    File,
    /// A line, counted from 1, of a file that is no text.
    Line(usize),
    /// Bytes of the text.
    Span(Range<usize>),
}

/// The mistakes found so far in one manifest, the first [`MAX_MISTAKES`] of them.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    list: Vec<Mistake>,
    left_out: usize,
}

impl Mistakes {
    /// Notes a mistake at these bytes of the text.
    pub(super) fn at(&mut self, span: Range<usize>, title: impl Into<String>, help: impl Into<String>) {
        self.push(Mistake { title: title.into(), help: help.into(), place: Place::Span(span) });
    }

    pub(super) fn push(&mut self, mistake: Mistake) {
        if self.list.len() < MAX_MISTAKES {
            self.list.push(mistake);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them as one error, in the order of the file.
    pub(super) fn into_error(mut self, path: PathBuf, text: String) -> ManifestError {
        self.list.sort_by_key(|mistake| match &mistake.place {
            Place::File => 0,
            Place::Line(line) => *line,
            Place::Span(span) => span.start,
        });
        ManifestError { path: Some(path), text, mistakes: self.list, left_out: self.left_out }
    }
}

impl ManifestError {
    /// An error of a file that has no text to show.
    pub(super) fn file(path: PathBuf, mistake: Mistake) -> Self {
        Self { path: Some(path), text: String::new(), mistakes: vec![mistake], left_out: 0 }
    }

    /// An error of the command line.
    pub(super) fn command_line(title: impl Into<String>, help: impl Into<String>) -> Self {
        let mistake = Mistake { title: title.into(), help: help.into(), place: Place::File };
        Self { path: None, text: String::new(), mistakes: vec![mistake], left_out: 0 }
    }

    /// The mistakes one after the other, each as title, place, line and help. No line break at the end.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut shown: Vec<_> = self.mistakes.iter().map(|mistake| self.show(mistake, &renderer)).collect();
        if self.left_out > 0 {
            shown.push(format!("and {} more mistakes in this file", self.left_out));
        }
        shown.join("\n\n")
    }

    fn show(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        let path = self.path.as_ref().map(|path| normalize_untrusted_str(&path.to_string_lossy()));
        let place = path.map(|path| match &mistake.place {
            Place::File => Element::from(Origin::path(path)),
            Place::Line(line) => Origin::path(path).line(*line).into(),
            Place::Span(span) => {
                let line = Line::of(&self.text, span);
                let snippet = Snippet::source(line.text).line_start(line.number).path(path);
                snippet.annotation(AnnotationKind::Primary.span(line.span)).into()
            }
        });
        let group = Group::with_title(Level::ERROR.primary_title(&mistake.title));
        let group = group.elements(place);
        let group = group.element(Level::HELP.message(normalize_untrusted_str(&mistake.help)));
        renderer.render(&[group])
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ManifestError {}

impl ManifestErrors {
    /// As [`ManifestError::render`], for all files.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        self.0.iter().map(|error| error.render(colour)).collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ManifestErrors {}

impl From<ManifestError> for ManifestErrors {
    fn from(error: ManifestError) -> Self {
        Self(vec![error])
    }
}

/// The line in which a span begins, and the part of the span that is in it.
struct Line<'a> {
    text: &'a str,
    number: usize,
    span: Range<usize>,
}

impl<'a> Line<'a> {
    fn of(text: &'a str, span: &Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = if text[begin..end].ends_with('\r') && start < end { end - 1 } else { end };
        let stop = text.ceil_char_boundary(span.end.max(start)).clamp(start, end);
        // Only a line of a hostile file is cut; its columns are then counted from the cut.
        let cut_begin = text.floor_char_boundary(begin.max(start.saturating_sub(MAX_LINE_CONTEXT)));
        let cut_end = text.floor_char_boundary(end.min(start + MAX_LINE_CONTEXT));
        Self {
            text: &text[cut_begin..cut_end],
            number: text[..start].matches('\n').count() + 1,
            span: start - cut_begin..stop.min(cut_end) - cut_begin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_its_line() {
        let long = "x".repeat(10 * MAX_LINE_CONTEXT);
        let cases = [
            ("", 0..0, "", 1, 0..0),
            ("a = 1", 4..5, "a = 1", 1, 4..5),
            ("a\nbcd\ne", 3..4, "bcd", 2, 1..2),
            ("a\nb", 3..3, "b", 2, 1..1),
            ("a\n", 2..2, "", 2, 0..0),
            ("a = [\n1\n]", 4..9, "a = [", 1, 4..5),
            ("a = 1\r\nb", 4..8, "a = 1", 1, 4..5),
            ("é = ü", 5..7, "é = ü", 1, 5..7),
            ("a", 7..9, "a", 1, 1..1),
            (&long, 0..2, &long[..MAX_LINE_CONTEXT], 1, 0..2),
            (&long, 1000..4000, &long[..2 * MAX_LINE_CONTEXT], 1, 400..800),
        ];
        for (text, span, line, number, in_line) in cases {
            let found = Line::of(text, &span);
            assert_eq!((found.text, found.number, found.span), (line, number, in_line), "{text:?} {span:?}");
        }
    }

    #[test]
    fn mistakes_are_bounded() {
        let mut mistakes = Mistakes::default();
        for _ in 0..MAX_MISTAKES + 3 {
            mistakes.at(0..1, "wrong", "do right");
        }
        let error = mistakes.into_error("hatchery.toml".into(), "x".into());
        assert_eq!(error.to_string().matches("wrong").count(), MAX_MISTAKES);
        assert!(error.to_string().ends_with("and 3 more mistakes in this file"));
    }

    #[test]
    fn terminal_control_sequences_are_not_passed_on() {
        let text = "a = \"\u{1b}[2J\"";
        let mut mistakes = Mistakes::default();
        mistakes.at(4..9, "bad \u{1b}[2J", "not \u{1b}[2J");
        let error = mistakes.into_error("\u{1b}[2J.toml".into(), text.into());
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
