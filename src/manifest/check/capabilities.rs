//! What a guest may reach: `environment`, `allowed-outbound-hosts`, `folders`, `secrets`.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use super::{
    super::{
        Capabilities, Folder, OutboundHost,
        document::{Section, short},
        error::Mistakes,
        keys::Table,
        path::{resolve, resolve_inside},
    },
    Context,
};

/// The most secrets of one component.
pub const MAX_SECRETS: usize = 32;

/// The most folders of one component: each is a mount, and takes place in its root.
const MAX_FOLDERS: usize = 64;

/// The longest name of a secret, in bytes: it is a file's too.
const MAX_SECRET_NAME: usize = 128;

pub(super) fn capabilities(
    table: &Section<'_, '_>,
    context: &Context<'_>,
    mistakes: &mut Mistakes,
) -> Capabilities {
    let environment = environment(table, mistakes);
    Capabilities {
        allowed_outbound_hosts: hosts(table, mistakes),
        folders: folders(table, context, mistakes),
        secrets: secrets(table, &environment, mistakes),
        environment,
    }
}

/// Can a secret be called that? As a shell has it: letters, digits and `_`, no digit first; 128 bytes.
#[must_use]
pub fn is_secret_name(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && !text.starts_with(|c: char| c.is_ascii_digit()) && (1..=MAX_SECRET_NAME).contains(&text.len())
}

fn secrets(
    table: &Section<'_, '_>,
    environment: &BTreeMap<String, String>,
    mistakes: &mut Mistakes,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in table.strings("secrets", mistakes) {
        let name = entry.value;
        if !is_secret_name(name) {
            let help = "write a name of letters, digits and `_`, as in `API_KEY`; its value is the home's";
            mistakes.at(entry.span, "this can't be the name of a secret", help);
        } else if environment.contains_key(name) {
            let title = format!("`{name}` is in `environment` already");
            mistakes.at(entry.span, title, "leave one of the two out");
        } else if !found.insert(name.to_owned()) {
            mistakes.at(entry.span, format!("`{name}` is named twice"), "leave one out");
        }
    }
    if found.len() > MAX_SECRETS {
        let title = format!("there are more than {MAX_SECRETS} secrets");
        mistakes.at(table.key_place("secrets"), title, "keep several in one, as JSON for example");
    }
    found
}

fn environment(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in table.pairs("environment", mistakes) {
        if name.value.is_empty() || name.value.contains(|c: char| c == '=' || c.is_control()) {
            let help = "write a name without `=` and control characters, as in `SOURCE_URL`";
            mistakes.at(name.span, "this can't be the name of an environment variable", help);
        }
        if value.value.contains('\0') {
            let title = format!("the value of `{}` has a null character", short(name.value));
            mistakes.at(value.span, title, "leave it out");
        }
        found.insert(name.value.to_owned(), value.value.to_owned());
    }
    found
}

fn hosts(table: &Section<'_, '_>, mistakes: &mut Mistakes) -> Vec<OutboundHost> {
    let mut found = Vec::new();
    for entry in table.strings("allowed-outbound-hosts", mistakes) {
        match entry.value.parse() {
            Ok(host) => found.push(host),
            Err(cause) => {
                let title = format!("not an outbound host: {cause}");
                let help = "write it like \"https://api.example.com\", \"https://*.example.com\" or \"http://127.0.0.1:7002\"";
                mistakes.at(entry.span, title, help);
            }
        }
    }
    found
}

/// Where the folders really are that a guest may write to. What is wrong with one is noted by [`folders`].
pub(super) fn writable(table: &Section<'_, '_>, folder: &Path) -> Vec<PathBuf> {
    let list = table.get("folders").and_then(|folders| folders.get_ref().as_array());
    let entries = list.into_iter().flatten().filter_map(|entry| entry.get_ref().as_table());
    entries
        .filter(|entry| {
            entry.get("writable").is_some_and(|writable| writable.get_ref().as_bool() == Some(true))
        })
        .filter_map(|entry| {
            resolve(folder, entry.get("source")?.get_ref().as_str()?).ok()?.canonicalize().ok()
        })
        .collect()
}

fn folders(table: &Section<'_, '_>, context: &Context<'_>, mistakes: &mut Mistakes) -> Vec<Folder> {
    let mut destinations = HashSet::new();
    let mut found = Vec::new();
    for folder in table.tables("folders", Table::Folder, mistakes) {
        folder.missing("source", "name a folder inside of the app's, as in `source = \"data\"`", mistakes);
        folder.missing(
            "destination",
            "say where the guest sees it, as in `destination = \"/data\"`",
            mistakes,
        );
        let writable = folder.boolean("writable", mistakes).unwrap_or(false);
        let source = source(&folder, writable, context, mistakes);
        let destination = destination(&folder, &mut destinations, mistakes);
        if let (Some(source), Some(destination)) = (source, destination) {
            found.push(Folder { source, destination, writable });
        }
    }
    if table
        .get("folders")
        .and_then(|folders| folders.get_ref().as_array())
        .is_some_and(|all| all.len() > MAX_FOLDERS)
    {
        let title = format!("there are more than {MAX_FOLDERS} folders");
        mistakes.at(table.key_place("folders"), title, "grant a folder that holds several");
    }
    found
}

fn source(
    folder: &Section<'_, '_>,
    writable: bool,
    context: &Context<'_>,
    mistakes: &mut Mistakes,
) -> Option<PathBuf> {
    let text = folder.string("source", mistakes)?;
    let help = "make this folder, or name another one inside of the app's folder";
    let path = match resolve_inside(context.folder, text.value) {
        Ok(path) => path,
        Err(cause) => {
            mistakes.at(text.span, format!("`source`: {cause}"), help);
            return None;
        }
    };
    let path = match path.canonicalize() {
        Ok(path) if path.is_dir() => path,
        Ok(_) => {
            mistakes.at(text.span, format!("`{}` is not a folder", text.value), help);
            return None;
        }
        Err(cause) => {
            mistakes.at(text.span, format!("can't find the folder `{}`: {cause}", text.value), help);
            return None;
        }
    };
    if writable && context.guarded.iter().any(|file| file.starts_with(&path)) {
        let title = "a guest that may write here could change its own manifest or component";
        mistakes.at(text.span, title, "give it a folder that holds neither, or leave out `writable`");
    } else if context.writable.iter().any(|above| path != *above && path.starts_with(above)) {
        // It would be opened anew for a fresh instance, and a link leads wherever the guest likes.
        let title =
            "this folder is inside of one that a guest may write to, and which could put a link in its place";
        mistakes.at(
            text.span,
            title,
            "put the two beside each other, or leave out `writable` of the outer one",
        );
    }
    Some(path)
}

fn destination<'t>(
    folder: &Section<'t, '_>,
    taken: &mut HashSet<&'t str>,
    mistakes: &mut Mistakes,
) -> Option<String> {
    let text = folder.string("destination", mistakes)?;
    if !is_clean(text.value) {
        let help = "write it like \"/data\": from `/` on, without `.`, `..`, `//` and a `/` at the end";
        mistakes.at(text.span, "`destination` is not a clean absolute path", help);
    } else if !taken.insert(text.value) {
        let title = format!("the destination `{}` is taken by another folder", text.value);
        mistakes.at(text.span, title, "give each folder a destination of its own");
    }
    Some(text.value.to_owned())
}

fn is_clean(path: &str) -> bool {
    let clean = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(clean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_as_a_table() {
        let cases = [
            ("/", true),
            ("/data", true),
            ("/data/deep er", true),
            ("/..data", true),
            ("", false),
            ("data", false),
            ("//", false),
            ("/data/", false),
            ("/a//b", false),
            ("/a/./b", false),
            ("/a/..", false),
            ("/a\0b", false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_clean(path), expected, "{path:?}");
        }
    }
}
