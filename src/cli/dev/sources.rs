//! The files below an app's folder that decide what is built, and which of them changed since the last
//! look. `watch` owns one for each app.
//!
//! A change is another content, not another time: what a build writes anew with the same bytes, or an
//! editor touches, is none, so that a build that generates files comes to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

use crate::manifest::App;

/// The most files of an app, and the most folders; further ones are not watched.
const MAX_FILES: usize = 20_000;
const MAX_FOLDERS: usize = 4096;

/// The deepest folder below the app's.
const MAX_DEPTH: usize = 32;

/// The most bytes of a file that are compared; of a larger one, time and size are.
const MAX_COMPARED: u64 = 16 << 20;

/// A file that was written so shortly before it was looked at may be written again in the same tick of the
/// file system's clock, with the same size.
const TICK: Duration = Duration::from_secs(1);

/// Folders that hold what tools make, beside those whose name begins with a dot.
const SKIPPED: [&str; 6] = ["target", "node_modules", "__pycache__", "build", "dist", "venv"];

/// What of an app is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// The app's folder, absolute.
    pub(super) folder: PathBuf,
    /// Files and folders that are none of its sources.
    pub(super) skipped: BTreeSet<PathBuf>,
}

impl Root {
    /// Of an app whose manifest can be read: without what its build writes, and its guest.
    pub(super) fn of(app: &App) -> Self {
        let mut skipped = BTreeSet::new();
        for (_, component) in app.components() {
            if let Some(build) = &component.build {
                skipped.extend([component.file.clone(), build.output.clone()]);
            }
            let folders = component.capabilities.folders.iter();
            skipped.extend(folders.filter(|folder| folder.writable).map(|folder| folder.source.clone()));
        }
        Self { folder: app.folder.clone(), skipped }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    length: u64,
    digest: Option<[u8; 32]>,
}

/// One app's sources.
pub(super) struct Sources {
    root: Root,
    files: BTreeMap<PathBuf, Stamp>,
    folders: BTreeSet<PathBuf>,
    looked: SystemTime,
    is_cut: bool,
}

impl Sources {
    /// As they are now.
    pub(super) fn new(root: Root) -> Self {
        let mut sources = Self {
            root,
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            looked: SystemTime::UNIX_EPOCH,
            is_cut: false,
        };
        sources.changed();
        sources
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Other things to skip: no change by itself, unless something comes into sight.
    pub(super) fn reroot(&mut self, root: Root) {
        self.files.retain(|path, _| !root.skipped.iter().any(|skipped| path.starts_with(skipped)));
        self.root = root;
    }

    /// The folders to be watched.
    pub(super) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// There is more than is watched.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Looks again. What differs from the last look, from the app's folder on; what is gone, too.
    pub(super) fn changed(&mut self) -> Vec<PathBuf> {
        let now = SystemTime::now();
        let mut found = Found::default();
        found.walk(self, &self.root.folder, 0);
        let Found { files, folders, is_cut } = found;
        let mut changed: Vec<_> = files
            .iter()
            .filter(|(path, stamp)| self.files.get(*path).is_none_or(|before| !before.same(stamp)))
            .map(|(path, _)| path)
            .chain(self.files.keys().filter(|path| !files.contains_key(*path)))
            .map(|path| path.strip_prefix(&self.root.folder).unwrap_or(path).to_owned())
            .collect();
        changed.sort();
        (self.files, self.folders, self.is_cut, self.looked) = (files, folders, is_cut, now);
        changed
    }

    /// A file's stamp. Read only where its time or size says that it may differ.
    fn stamp(&self, path: &Path) -> Option<Stamp> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let (modified, length) = (found.modified().ok()?, found.len());
        let settled = |before: &&Stamp| {
            (before.modified, before.length) == (modified, length) && modified + TICK < self.looked
        };
        if let Some(before) = self.files.get(path).filter(settled) {
            return Some(*before);
        }
        let digest = (length <= MAX_COMPARED).then(|| digest(path).ok()).flatten();
        Some(Stamp { modified, length, digest })
    }
}

impl Stamp {
    fn same(&self, other: &Self) -> bool {
        match (self.digest, other.digest) {
            (Some(one), Some(other)) => one == other,
            _ => self == other,
        }
    }
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_COMPARED + 1).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).into())
}

#[derive(Default)]
struct Found {
    files: BTreeMap<PathBuf, Stamp>,
    folders: BTreeSet<PathBuf>,
    is_cut: bool,
}

impl Found {
    fn walk(&mut self, sources: &Sources, folder: &Path, depth: usize) {
        if self.folders.len() >= MAX_FOLDERS || depth > MAX_DEPTH {
            self.is_cut = true;
            return;
        }
        // What can't be read holds no sources; what is gone meanwhile is seen as that.
        let Ok(entries) = fs::read_dir(folder) else { return };
        self.folders.insert(folder.to_owned());
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let is_hidden = name.as_encoded_bytes().starts_with(b".");
            // Links to folders are not followed: they may lead round.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let is_made = is_folder && name.to_str().is_some_and(|name| SKIPPED.contains(&name));
            if is_hidden || is_made || sources.root.skipped.contains(&path) {
                continue;
            }
            if is_folder {
                self.walk(sources, &path, depth + 1);
            } else if self.files.len() >= MAX_FILES {
                self.is_cut = true;
            } else if let Some(stamp) = sources.stamp(&path) {
                self.files.insert(path, stamp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_as_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["src/deep", "target/debug", "node_modules/x", "build/gen", ".git", "out", "data"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["src/a", "src/deep/b", "target/debug/t", "hatchery.toml", "app.wasm"] {
            fs::write(at(path), "old").unwrap();
        }
        let skipped = ["app.wasm", "data"].map(at).into();
        let mut sources = Sources::new(Root { folder: folder.path().to_owned(), skipped });
        assert_eq!(sources.folders().len(), 4, "{:?}", sources.folders());
        let write = |path: &str, text: &str| {
            let (path, text) = (at(path), text.to_owned());
            move || fs::write(&path, &text).unwrap()
        };
        let (old, new) = ("old".to_owned(), "new".to_owned());
        type Change<'a> = Box<dyn Fn() + 'a>;
        let cases: Vec<(&str, Change<'_>, &[&str])> = vec![
            ("nothing", Box::new(|| ()), &[]),
            ("another content of one size", Box::new(write("src/a", &new)), &["src/a"]),
            ("the same content", Box::new(write("src/a", &new)), &[]),
            ("back", Box::new(write("src/a", &old)), &["src/a"]),
            ("deep", Box::new(write("src/deep/b", "longer")), &["src/deep/b"]),
            ("a new file", Box::new(write("src/c", "x")), &["src/c"]),
            ("a removed one", Box::new(|| fs::remove_file(at("src/c")).unwrap()), &["src/c"]),
            ("the manifest", Box::new(write("hatchery.toml", "x")), &["hatchery.toml"]),
            ("what is built", Box::new(write("app.wasm", "x")), &[]),
            ("what tools make", Box::new(write("target/debug/t", "x")), &[]),
            ("a package", Box::new(write("node_modules/x/y", "x")), &[]),
            ("what a build generates", Box::new(write("build/gen/x.c", "x")), &[]),
            ("the index", Box::new(write(".git/index", "x")), &[]),
            ("an editor's file", Box::new(write("src/.a.swp", "x")), &[]),
            ("what the guest writes", Box::new(write("data/x", "x")), &[]),
            ("a new folder", Box::new(|| fs::create_dir(at("src/new")).unwrap()), &[]),
            ("a file in it", Box::new(write("src/new/d", "x")), &["src/new/d"]),
            ("a folder that leaves", Box::new(|| fs::remove_dir_all(at("src/new")).unwrap()), &["src/new/d"]),
        ];
        for (what, change, expected) in cases {
            change();
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(sources.changed(), expected, "{what}");
        }
        assert!(!sources.is_cut());
    }

    #[test]
    fn a_link_round_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", folder.path().join("round")).unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("dangling")).unwrap();
        let root = Root { folder: folder.path().to_owned(), skipped: BTreeSet::new() };
        assert_eq!(Sources::new(root).folders().len(), 1);
    }
}
