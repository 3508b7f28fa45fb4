//! What an app was denied outside, below its table: how often, where, and what would allow it. Pure.

use super::style::{Style, Tone};
use crate::{log::printable, master::AppStatus};

/// Nothing where nothing was denied.
pub(super) fn denied(app: &AppStatus, style: Style) -> String {
    let counts = app.denied.iter().map(|entry| entry.count).chain([app.denied_more]);
    let width = counts.max().unwrap_or(0).to_string().len();
    let mut lines: Vec<String> = app
        .denied
        .iter()
        .map(|entry| {
            let help = entry.allow.as_ref().map(|line| format!("; to allow it: {line}")).unwrap_or_default();
            let (count, origin, reason) = (entry.count, &entry.origin, &entry.reason);
            format!("  {count:>width$}  {}", printable(&format!("{origin}: {reason}{help}")))
        })
        .collect();
    if app.denied_more > 0 {
        lines.push(format!("  {:>width$}  to other hosts", app.denied_more));
    }
    if lines.is_empty() {
        return String::new();
    }
    lines.insert(0, "  denied requests".to_owned());
    lines.iter().map(|line| style.line(Tone::Plain, line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::status::table, master::Denied};

    #[test]
    fn a_section_below_the_table() {
        let mut app = table::tests::app("cache");
        assert_eq!(denied(&app, Style::PLAIN), "");
        let allow = "allowed-outbound-hosts = [\"https://api.example.com\"]".to_owned();
        let entry = |origin: &str, count, allow| Denied {
            origin: origin.to_owned(),
            count,
            reason: "the manifest does not name it".to_owned(),
            allow,
        };
        app.denied =
            vec![entry("https://api.example.com", 120, Some(allow)), entry("http://x\u{1b}", 3, None)];
        app.denied_more = 7;
        let text = denied(&app, Style::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..2],
            [
                "  denied requests",
                "  120  https://api.example.com: the manifest does not name it; to allow it: \
                 allowed-outbound-hosts = [\"https://api.example.com\"]",
            ]
        );
        assert!(lines[2].starts_with("    3  http://x") && !lines[2].contains('\u{1b}'), "{lines:?}");
        assert_eq!(lines[3..], ["    7  to other hosts"]);
        assert!(table::render(&[app], Style::PLAIN).ends_with(&text));
    }
}
