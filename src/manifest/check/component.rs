//! What `[worker]` and `[agent]` have in common: the component's file and how it is built.

use std::{fs, io, path::Path};

use super::{
    super::{
        Build, Component, Live,
        document::{At, Section},
        error::Mistakes,
        keys::Table,
        path::{resolve, resolve_inside},
    },
    Context, capabilities, command,
};

pub(super) fn component(
    table: &Section<'_, '_>,
    context: &Context<'_>,
    mistakes: &mut Mistakes,
) -> Option<Component> {
    let build = table.table("build", Table::Build, mistakes);
    let built = build.is_some();
    let build = build.map(|build| self::build(&build, context.folder, mistakes));
    let capabilities = capabilities::capabilities(table, context, mistakes);

    table.missing("component", "write `component = \"app.wasm\"`, relative to this file", mistakes);
    let text = table.string("component", mistakes)?;
    let file = match resolve_inside(context.folder, text.value) {
        Ok(file) => file,
        Err(cause) => {
            let help = "put the component into the app's folder and name it from there";
            mistakes.at(text.span, format!("`component`: {cause}"), help);
            return None;
        }
    };
    match problem(&file) {
        Some(Problem::Missing) if built => {}
        Some(problem) => {
            let (title, help) = problem.explain(text.value);
            mistakes.at(text.span, title, help);
        }
        None => {}
    }
    Some(Component { file, build: build.map_or(Some(None), |build| build.map(Some))?, capabilities })
}

enum Problem {
    Missing,
    NoFile,
    Unreadable(io::Error),
}

fn problem(file: &Path) -> Option<Problem> {
    match fs::metadata(file) {
        Ok(found) if found.is_file() => None,
        Ok(_) => Some(Problem::NoFile),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Some(Problem::Missing),
        Err(cause) => Some(Problem::Unreadable(cause)),
    }
}

impl Problem {
    fn explain(self, text: &str) -> (String, String) {
        match self {
            Self::Missing => (
                format!("there is no file `{text}`"),
                "build the component and copy it there, or add a `build` table with `command` and `output`"
                    .to_owned(),
            ),
            Self::NoFile => {
                (format!("`{text}` is not a file"), "name the `.wasm` file of the component".to_owned())
            }
            Self::Unreadable(cause) => {
                (format!("can't look at `{text}`: {cause}"), "make it readable for you".to_owned())
            }
        }
    }
}

fn build(table: &Section<'_, '_>, folder: &Path, mistakes: &mut Mistakes) -> Option<Build> {
    let command_help = "write it as for a shell, as in `command = \"cargo build --release\"`";
    table.missing("command", command_help, mistakes);
    let command = command::command(table, "command", mistakes);
    let tools = tools(table, mistakes);
    let output_help = "name the file that the command leaves, as in `output = \"target/app.wasm\"`";
    table.missing("output", output_help, mistakes);
    let output = table.string("output", mistakes).and_then(|At { value, span }| {
        resolve(folder, value)
            .map_err(|cause| mistakes.at(span, format!("`output`: {cause}"), output_help))
            .ok()
    });
    let wit = table.string("wit", mistakes).and_then(|At { value, span }| {
        let help = "name the folder with the component's WIT, as in `wit = \"wit\"`";
        resolve(folder, value).map_err(|cause| mistakes.at(span, format!("`wit`: {cause}"), help)).ok()
    });
    let live = live(table, mistakes);
    Some(Build { command: command?, output: output?, tools, wit, live })
}

/// What `hatchery dev` hands to the guest.
fn live(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<Live> {
    let mut files = Vec::new();
    for At { value, span } in table.strings("live", mistakes) {
        let (folder, last) = value.rsplit_once('/').unwrap_or(("", value));
        let is_name = |part: &str| !matches!(part, "" | "." | "..");
        let is_folder =
            folder.is_empty() || folder.split('/').all(|part| is_name(part) && !part.contains('*'));
        // A path that begins with `/` has an empty folder too.
        if value.starts_with('/') || !is_folder || !is_name(last) || last.chars().skip(1).any(|c| c == '*') {
            let help = "name a file from the app's folder on, or all with an end, as in `live = [\"*.py\", \"notes/*.py\"]`";
            mistakes.at(span, "this can't be a file of the app", help);
        }
        files.push(value.to_owned());
    }
    if !files.is_empty() {
        return Some(Live { files, command: command::command(table, "live-command", mistakes) });
    }
    if let Some(At { span, .. }) = table.string("live-command", mistakes) {
        let help = "say which files it is for, as in `live = [\"*.js\"]`";
        mistakes.at(span, "there is no `live`, so this is never run", help);
    }
    None
}

/// Names of programs, without arguments.
fn tools(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Vec<String> {
    let mut found = Vec::new();
    for At { value, span } in table.strings("tools", mistakes) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        if value.is_empty() || !value.chars().all(plain) {
            let help = "name it as it is on PATH, as in `tools = [\"wit-bindgen\"]`";
            mistakes.at(span, "this can't be the name of a tool", help);
        }
        found.push(value.to_owned());
    }
    found
}
