//! From embedded files to those of an app: names, WASI's version, and what is only there with an agent.
//!
//! ```text
//!   {{name}}                     the app's name          {{crate}}   the same with `_` for `-`
//!   {{#agent}} … {{/agent}}      lines with an agent     {{^agent}} … {{/agent}}   lines without
//! ```
//!
//! A line with a tag of the second row is left out itself, so that it can be a comment.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use include_dir::{Dir, DirEntry};

use super::language::{Language, Part};

/// What is made.
pub(super) struct Wanted<'a> {
    pub(super) language: Language,
    pub(super) name: &'a str,
    pub(super) agent: bool,
}

/// One file.
pub(super) struct File {
    /// From the app's folder on.
    pub(super) path: PathBuf,
    pub(super) text: Vec<u8>,
}

/// The WASI of the embedded WIT.
const EMBEDDED_WASI: &str = "0.2.12";

/// All files of a new app.
///
/// # Errors
/// A template is broken; a test makes each.
pub(super) fn files(wanted: &Wanted<'_>) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for Part { folder, from } in wanted.language.parts() {
        collect(wanted, &PathBuf::from(folder), from, &mut files)?;
    }
    Ok(files)
}

fn collect(
    wanted: &Wanted<'_>,
    folder: &std::path::Path,
    from: &Dir<'static>,
    files: &mut Vec<File>,
) -> anyhow::Result<()> {
    for entry in from.entries() {
        let name =
            entry.path().file_name().and_then(|name| name.to_str()).context("a template has no name")?;
        match entry {
            DirEntry::Dir(_) if name == "__pycache__" => {}
            // The JavaScript SDK has one module for each WASI, in place of the other.
            // And the one for Go some glue.
            DirEntry::Dir(_) if name == "0.3" => {}
            DirEntry::Dir(dir) if name.starts_with("wasi-0.") => {
                if name == "wasi-0.2" {
                    collect(wanted, folder, dir, files)?;
                }
            }
            DirEntry::Dir(dir) => collect(wanted, &folder.join(name), dir, files)?,
            DirEntry::File(file) => {
                let text = file.contents_utf8().with_context(|| format!("{name} is not UTF-8"))?;
                // `.in`: what tools would take for their own in this repository. `dot-`: what git would.
                let path = name.strip_suffix(".in").unwrap_or(name);
                let path = path.strip_prefix("dot-").map_or(path.to_owned(), |rest| format!(".{rest}"));
                files.push(File { path: folder.join(path), text: fill(wanted, text)?.into_bytes() });
            }
        }
    }
    Ok(())
}

fn fill(wanted: &Wanted<'_>, text: &str) -> anyhow::Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut shown = true;
    for line in text.split_inclusive('\n') {
        if line.contains("{{#agent}}") {
            shown = wanted.agent;
        } else if line.contains("{{^agent}}") {
            shown = !wanted.agent;
        } else if line.contains("{{/agent}}") {
            shown = true;
        } else if shown {
            filled.push_str(line);
        }
    }
    if !shown {
        bail!("a template has a `{{{{#agent}}}}` without an end");
    }
    let name = wanted.name;
    let filled = filled.replace("{{name}}", name).replace("{{crate}}", &name.replace('-', "_"));
    // Where the Rust SDK finds the cluster's WIT.
    let filled = filled.replace("../../wit/0.3", "wit");
    Ok(match wanted.language {
        Language::Rust => filled,
        language => filled.replace(EMBEDDED_WASI, language.wasi()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_as_a_table() {
        let text = "a {{name}}\n# {{#agent}}\nwith {{crate}}\n# {{/agent}}\n{{^agent}}\nwithout\n{{/agent}}\nz 0.2.12";
        for (language, agent, expected) in [
            (Language::Python, true, "a my-app\nwith my_app\nz 0.2.12"),
            (Language::Js, false, "a my-app\nwithout\nz 0.2.10"),
        ] {
            let wanted = Wanted { language, name: "my-app", agent };
            assert_eq!(fill(&wanted, text).unwrap(), expected);
        }
        let wanted = Wanted { language: Language::C, name: "a", agent: true };
        assert!(fill(&wanted, "{{^agent}}\n").is_err());
    }

    #[test]
    fn nothing_is_left_to_fill() {
        use clap::ValueEnum as _;
        for language in Language::value_variants() {
            for agent in [true, false] {
                for file in files(&Wanted { language: *language, name: "my-app", agent }).unwrap() {
                    let text = String::from_utf8(file.text).unwrap();
                    assert!(
                        !text.contains("{{#") && !text.contains("{{name"),
                        "{language:?} {:?}",
                        file.path
                    );
                }
            }
        }
    }
}
