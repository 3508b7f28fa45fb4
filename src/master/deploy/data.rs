//! Folders that a guest may write to: they are not the bundle's but the app's, for all its versions. Each is
//! right below `apps/NAME/data`, by one name, whatever its path in the bundle: were one inside of another,
//! the guest that writes to the outer one could put a link in the place of the inner one, of this version or
//! of the next, and be given what the link leads to.
//!
//! `found` calls it for an app that is to run, whatever a storekeeper says of its folders. It removes nothing.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::DirBuilderExt as _,
    },
    path::{Component as Part, Path},
};

use anyhow::{Context as _, bail};

use crate::{
    home::Home,
    manifest::{App, Component},
};

/// Gives each writable folder its place, and makes it where it does not exist.
///
/// # Errors
/// A folder can't be made, something else has its place, or it is not inside of the app's.
pub(super) fn place(app: &mut App, home: &Home) -> anyhow::Result<()> {
    let data = home.data(&app.name);
    let root = app.folder.clone();
    for component in components(app) {
        for folder in component.capabilities.folders.iter_mut().filter(|folder| folder.writable) {
            let inside = folder.source.strip_prefix(&root).ok();
            let inside = inside.filter(|inside| !inside.as_os_str().is_empty() && is_plain(inside));
            let Some(inside) = inside else {
                bail!("the writable folder {} is not inside of {}", folder.source.display(), root.display());
            };
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&data)
                .with_context(|| format!("cannot make the folder {}", data.display()))?;
            folder.source = data.join(flat(inside));
            make(&folder.source)?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_folder = fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir());
            if !is_folder {
                bail!("{} is no folder, and an app is to write to it; move it away", folder.display());
            }
            Ok(())
        }
        made => made.with_context(|| format!("cannot make the folder {}", folder.display())),
    }
}

/// A way down, spelled in the one way.
pub(super) fn is_plain(inside: &Path) -> bool {
    inside.components().all(|part| matches!(part, Part::Normal(_)))
}

/// The path as one name; no two paths have the same.
fn flat(inside: &Path) -> OsString {
    let mut name = Vec::with_capacity(inside.as_os_str().len());
    for byte in inside.as_os_str().as_bytes() {
        match byte {
            b'%' => name.extend(b"%25"),
            b'/' => name.extend(b"%2F"),
            other => name.push(*other),
        }
    }
    OsString::from_vec(name)
}

fn components(app: &mut App) -> impl Iterator<Item = &mut Component> {
    let agent = app.agent.as_mut().map(|agent| &mut agent.component);
    agent.into_iter().chain(app.worker.as_mut().map(|worker| &mut worker.component))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::manifest;

    #[test]
    fn names_as_a_table() {
        for (path, name) in [
            ("free", "free"),
            ("free/sub", "free%2Fsub"),
            ("free%2Fsub", "free%252Fsub"),
            ("ü/..a", "ü%2F..a"),
        ] {
            assert_eq!(flat(Path::new(path)), name, "{path}");
        }
    }

    /// An app that may write to these.
    fn app(folder: &Path, sources: &[&str]) -> App {
        let entry =
            |source: &&str| format!("{{ source = '{source}', destination = '/{source}', writable = true }}");
        let entries: Vec<_> = sources.iter().map(entry).collect();
        fs::write(folder.join("a.wasm"), "").unwrap();
        for source in sources {
            fs::create_dir_all(folder.join(source)).unwrap();
        }
        let text = format!(
            "name = 'a'\nversion = '1'\n[agent]\ncomponent = 'a.wasm'\nfolders = [{}]\n",
            entries.join(", ")
        );
        fs::write(folder.join("hatchery.toml"), text).unwrap();
        manifest::load(folder).unwrap()
    }

    #[test]
    fn none_is_inside_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        let bundle = |number: u32, sources: &[&str]| {
            let place = folder.path().join(number.to_string());
            fs::create_dir(&place).unwrap();
            app(&place, sources)
        };
        let data = home.data("a");
        let mut first = bundle(1, &["free"]);
        place(&mut first, &home).unwrap();
        // What the guest of the first version can do.
        symlink("../../../../..", data.join("free/sub")).unwrap();
        let mut second = bundle(2, &["free/sub"]);
        place(&mut second, &home).unwrap();
        let source = &second.agent.unwrap().component.capabilities.folders[0].source;
        assert_eq!(*source, data.join("free%2Fsub"));
        assert_eq!(source.canonicalize().unwrap(), data.canonicalize().unwrap().join("free%2Fsub"));
        // Twice is no mistake, a link is.
        place(&mut bundle(3, &["free"]), &home).unwrap();
        symlink("free", data.join("other")).unwrap();
        let error = place(&mut bundle(4, &["other"]), &home).unwrap_err().to_string();
        assert!(error.contains("other is no folder"), "{error}");
        let mut outside = bundle(5, &["free"]);
        outside.folder = folder.path().join("elsewhere");
        assert!(place(&mut outside, &home).unwrap_err().to_string().contains("is not inside of"));
    }
}
