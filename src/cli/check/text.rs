//! What `check` found, for people.

use std::io::{self, Write};

use super::{
    Checked, Found,
    explain::{Access, What},
};

/// One block an app. Names of foreign components are printed without control characters.
pub(super) fn write(out: &mut impl Write, checked: &[Checked]) -> io::Result<()> {
    for app in checked {
        let word = if app.is_refused() { "refused" } else { "ok" };
        writeln!(out, "{word} app={} version={}", app.app, app.version)?;
        for found in &app.components {
            component(out, found)?;
        }
        for beyond in app.beyond_policy.iter().flatten() {
            writeln!(out, "  the policy does not allow {}: {beyond}", beyond.key)?;
        }
    }
    Ok(())
}

fn component(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let Found { role, file, wasi, milliseconds, explained, .. } = found;
    writeln!(out, "  {role} {} (WASI {wasi}, {milliseconds} ms)", file.display())?;
    let mut row =
        |title: &str, text: String| writeln!(out, "    {title:<8} {}", crate::log::printable(&text));
    if let Some(handler) = &explained.handler {
        row("answers", format!("requests, by {handler}"))?;
    }
    let cluster = &explained.cluster;
    if !cluster.versions.is_empty() {
        let (exports, imports) = (list(&cluster.exports), list(&cluster.imports));
        row("cluster", format!("{}: exports {exports}; imports {imports}", cluster.versions.join(" and ")))?;
    }
    for Access { what, granted, .. } in explained.access.iter().filter(|access| !access.granted.is_empty()) {
        row("granted", format!("{}: {}", title(*what), granted.join(", ")))?;
    }
    for Access { what, imports, denied, .. } in &explained.access {
        if let Some(denied) = denied {
            row("denied", format!("{}: {denied} (it imports {})", title(*what), list(imports)))?;
        }
    }
    for note in &explained.notes {
        row("note", note.clone())?;
    }
    row("imports", list(&found.imports))?;
    row("exports", list(&found.exports))
}

fn title(what: What) -> &'static str {
    match what {
        What::Environment => "environment",
        What::Requests => "requests",
        What::Files => "files",
        What::Sockets => "sockets",
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}
