//! The manifest inside a bundle: the user's, with the places of a bundle and without what is needed to
//! build. Called by `pack`, which rewrites it, and by `unpack`, which holds it against the index.

use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::{Error, Index, error::shown};
use crate::{
    cluster::Role,
    manifest::{App, Component},
};

/// Where a role's component is in a bundle.
pub(super) fn place(role: Role) -> &'static str {
    match role {
        Role::Agent => "agent.wasm",
        Role::Worker => "worker.wasm",
    }
}

/// A path as the manifest and the index have it: from the app's folder, `/` between its parts.
///
/// # Errors
/// The path is not below the folder, or is not UTF-8.
pub(super) fn relative(app: &App, path: &Path) -> Result<String, Error> {
    let unpackable = |reason: &str| Error::Unpackable { path: path.to_owned(), reason: reason.to_owned() };
    let below =
        path.strip_prefix(&app.folder).map_err(|_| unpackable("it is outside of the app's folder"))?;
    below.to_str().map(str::to_owned).ok_or_else(|| unpackable("its name is not UTF-8; rename it"))
}

/// The text of `app`'s manifest, as it goes into a bundle. Comments and order stay.
pub(super) fn rewrite(text: &str, app: &App) -> Result<String, Error> {
    let unpackable = |reason: String| Error::Unpackable { path: app.manifest.clone(), reason };
    let mut document: DocumentMut =
        text.parse().map_err(|error| unpackable(format!("it can't be read again: {error}")))?;
    document.remove("dev");
    document.remove("test");
    for (role, component) in app.components() {
        let key = match role {
            Role::Agent => "agent",
            Role::Worker => "worker",
        };
        let table = document.get_mut(key).and_then(Item::as_table_like_mut);
        let table = table.ok_or_else(|| unpackable(format!("`[{key}]` has gone since it was checked")))?;
        table.remove("build");
        set(table, "component", place(role));
        sources(table, component, app)?;
    }
    Ok(document.to_string())
}

/// Names the folders where they really are: a link on the way to one does not go into the bundle.
fn sources(table: &mut dyn TableLike, component: &Component, app: &App) -> Result<(), Error> {
    let folders = &component.capabilities.folders;
    match table.get_mut("folders") {
        Some(Item::ArrayOfTables(tables)) => {
            for (table, folder) in tables.iter_mut().zip(folders) {
                set(table, "source", &relative(app, &folder.source)?);
            }
        }
        Some(Item::Value(Value::Array(tables))) => {
            for (table, folder) in tables.iter_mut().zip(folders) {
                if let Value::InlineTable(table) = table {
                    set(table, "source", &relative(app, &folder.source)?);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Changes a string and leaves what is around it.
fn set(table: &mut dyn TableLike, key: &str, text: &str) {
    if let Some(Item::Value(value)) = table.get_mut(key)
        && value.as_str() != Some(text)
    {
        let decor = value.decor().clone();
        *value = text.into();
        *value.decor_mut() = decor;
    }
}

/// Does a bundle's manifest say what its index says, and are its components where a bundle has them?
pub(super) fn agrees(app: &App, index: &Index) -> Result<(), Error> {
    for (what, manifest, index) in
        [("name", &app.name, &index.name), ("version", &app.version, &index.version)]
    {
        if manifest != index {
            let (manifest, index) = (shown(manifest), shown(index));
            return Err(Error::Disagree(format!("the {what} is `{manifest}` and `{index}`")));
        }
    }
    for (role, component) in app.components() {
        if component.file != app.folder.join(place(role)) {
            let place = place(role);
            return Err(Error::Disagree(format!("the {role}'s component must be `{place}`")));
        }
        if component.build.is_some() {
            return Err(Error::Disagree(format!(
                "the {role} has a `build` table, and sources are not packed"
            )));
        }
    }
    if !app.dev_with.is_empty() {
        return Err(Error::Disagree("there is a `[dev]` table, which would lead out of it".to_owned()));
    }
    if app.test.is_some() {
        return Err(Error::Disagree("there is a `[test]` table, and tests are not packed".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::manifest;

    #[test]
    fn comments_stay_and_sources_go() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"# My app.
name = "a"
version = "1"

[worker] # who answers
component = "target/built.wasm" # built
listen = "127.0.0.1:0"
folders = [{ source = "./link", destination = "/data" }, { source = "free", destination = "/f", writable = true }]

[worker.build]
command = "make"
output = "target/built.wasm"

# The other one.
[agent]
component = "agent.wasm"
build = { command = "make", output = "x.wasm" }
[[agent.folders]]
source = "real/../real"
destination = "/data"

[dev]
with = ["../other"]

[test]
command = "make test"

[limits]
memory = "64MiB" # enough
"#;
        for path in ["real", "free", "target"] {
            fs::create_dir(folder.path().join(path)).unwrap();
        }
        std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
        fs::write(folder.path().join("hatchery.toml"), text).unwrap();
        let app = manifest::load(folder.path()).unwrap();
        let expected = r#"# My app.
name = "a"
version = "1"

[worker] # who answers
component = "worker.wasm" # built
listen = "127.0.0.1:0"
folders = [{ source = "real", destination = "/data" }, { source = "free", destination = "/f", writable = true }]

# The other one.
[agent]
component = "agent.wasm"
[[agent.folders]]
source = "real"
destination = "/data"

[limits]
memory = "64MiB" # enough
"#;
        assert_eq!(rewrite(text, &app).unwrap(), expected);
    }
}
