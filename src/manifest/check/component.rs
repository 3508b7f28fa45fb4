//! What `[worker]` and `[agent]` have in common: the component's file and how it is built.

use std::{fs, io, path::Path};

use super::{
    super::{
        Build, Component,
        document::{At, Section},
        error::Mistakes,
        keys::Table,
        path::{resolve, resolve_inside},
    },
    Context, capabilities,
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
    let command = table.string("command", mistakes).and_then(|At { value, span }| match words(value) {
        Ok(words) => Some(words),
        Err((title, help)) => {
            mistakes.at(span, title, help);
            None
        }
    });
    let output_help = "name the file that the command leaves, as in `output = \"target/app.wasm\"`";
    table.missing("output", output_help, mistakes);
    let output = table.string("output", mistakes).and_then(|At { value, span }| {
        resolve(folder, value)
            .map_err(|cause| mistakes.at(span, format!("`output`: {cause}"), output_help))
            .ok()
    });
    Some(Build { command: command?, output: output? })
}

/// A command as words. What only a shell understands would be given to the program as it is, so it is
/// refused.
fn words(command: &str) -> Result<Vec<String>, (String, &'static str)> {
    let Some(words) = shlex::split(command).filter(|_| !command.contains('\0')) else {
        return Err(("a quote in `command` is not closed".to_owned(), "close it"));
    };
    if words.first().is_none_or(String::is_empty) {
        return Err((
            "`command` is empty".to_owned(),
            "write it as in `command = \"cargo build --release\"`",
        ));
    }
    let shell = words.iter().find(|word| matches!(word.as_str(), "&&" | "||" | "|" | ";" | ">" | "<" | "&"));
    if let Some(word) = shell.or(words.first().filter(|word| word.contains('='))) {
        let title = format!("`command` is run without a shell, which `{word}` needs");
        return Err((title, "put it into a script and name that, or write `sh -c '…'`"));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_as_a_table() {
        let cases: [(&str, Option<&[&str]>); 11] = [
            ("cargo build --release", Some(&["cargo", "build", "--release"])),
            ("cp 'a b' \"c\"", Some(&["cp", "a b", "c"])),
            ("sh -c 'a && b'", Some(&["sh", "-c", "a && b"])),
            ("make CFLAGS=-O2", Some(&["make", "CFLAGS=-O2"])),
            ("make a && make b", None),
            ("make > log", None),
            ("CC=clang make", None),
            ("", None),
            ("  ", None),
            ("''", None),
            ("make 'it", None),
        ];
        for (command, expected) in cases {
            let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(words(command).ok(), expected, "{command:?}");
        }
    }
}
