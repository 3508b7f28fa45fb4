//! Paths of the manifest: relative to the app's folder, and mostly held inside it.
//!
//! `..` is taken away by name before anything is looked up, and what exists is then resolved, so that
//! neither `..` nor a link leads out of the folder.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// Why a path is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidPath {
    #[error("the path is empty")]
    Empty,
    #[error("the path has a control character")]
    Control,
    #[error("the path leaves the app's folder (it is {})", .0.display())]
    Outside(PathBuf),
    #[error("can't look up the path: {0}")]
    Unreadable(#[from] io::Error),
}

/// The path as an absolute one without `.` and `..`. It may lead anywhere and need not exist.
pub(super) fn resolve(folder: &Path, text: &str) -> Result<PathBuf, InvalidPath> {
    if text.is_empty() {
        return Err(InvalidPath::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidPath::Control);
    }
    let mut clean = PathBuf::new();
    for component in folder.join(text).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    Ok(clean)
}

/// As [`resolve`], but inside `folder`, which is absolute and has no links. What exists of it may have
/// links, as long as they stay inside too.
pub(super) fn resolve_inside(folder: &Path, text: &str) -> Result<PathBuf, InvalidPath> {
    let clean = resolve(folder, text)?;
    if !clean.starts_with(folder) {
        return Err(InvalidPath::Outside(clean));
    }
    // `folder` exists, so this ends there at the latest.
    for ancestor in clean.ancestors() {
        match ancestor.canonicalize() {
            Ok(real) if real.starts_with(folder) => break,
            Ok(real) => return Err(InvalidPath::Outside(real)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn inside_and_outside_as_a_table() {
        let root = tempfile::tempdir().expect("makes a folder");
        let root = root.path().canonicalize().expect("exists");
        let app = root.join("app");
        fs::create_dir_all(app.join("in")).expect("makes a folder");
        fs::create_dir_all(root.join("app-two")).expect("makes a folder");
        fs::write(root.join("secret"), "").expect("writes");
        fs::write(app.join("in/file"), "").expect("writes");
        symlink("../secret", app.join("leak")).expect("links");
        symlink("..", app.join("up")).expect("links");
        symlink("in", app.join("alias")).expect("links");
        symlink("loop", app.join("loop")).expect("links");
        symlink("/nowhere/at/all", app.join("dangling")).expect("links");

        let absolute = app.join("in/file");
        let cases = [
            ("in/file", Some("in/file")),
            ("./in/../in/file", Some("in/file")),
            ("not/there/yet", Some("not/there/yet")),
            ("../app/in/file", Some("in/file")),
            ("alias/file", Some("alias/file")),
            ("alias/new", Some("alias/new")),
            (".", Some("")),
            (absolute.to_str().expect("is UTF-8"), Some("in/file")),
            // Nothing is there to read, and writing replaces the link.
            ("dangling", Some("dangling")),
            ("", None),
            ("in/fi\nle", None),
            ("in/file\0", None),
            ("..", None),
            ("../secret", None),
            ("../app-two", None),
            ("in/../../secret", None),
            ("/etc/passwd", None),
            ("/", None),
            ("leak", None),
            ("up", None),
            ("up/secret", None),
            ("up/new", None),
            ("loop", None),
            ("in/file/below", None),
        ];
        for (text, expected) in cases {
            let found = resolve_inside(&app, text).ok();
            assert_eq!(found, expected.map(|path| app.join(path).components().collect()), "{text:?}");
        }
    }
}
