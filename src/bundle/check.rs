//! An index against [`Limits`], before anything is written: sizes, paths, and paths that clash.
//!
//! Called when a bundle is read and when one is packed, so that what is packed can also be read.

use std::collections::HashMap;

use bytesize::ByteSize;

use super::{Error, INDEX_NAME, Index, Limits, SIGNATURE_NAME, error::shown, header, limits::TAR_PATH_BYTES};

/// The longest name and version, in bytes. The manifest's own checks are stricter; it is read later.
const MAX_NAME: usize = 256;

/// The path that every bundle has.
const MANIFEST: &str = crate::manifest::FILE_NAME;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    File,
    Folder,
}

/// Refuses an index that is over the limits, or can't be laid out as files.
pub(super) fn check(index: &Index, limits: &Limits) -> Result<(), Error> {
    for text in [&index.name, &index.version] {
        if text.len() > MAX_NAME || text.contains(char::is_control) {
            return Err(Error::Index(format!("`{}` is no name or version", shown(text))));
        }
    }
    let entries = index.files.len() + index.folders.len();
    if entries > limits.entries {
        return Err(too_many(entries, limits));
    }
    let mut sum = 0u64;
    for file in &index.files {
        if file.size > limits.file_bytes {
            let what = format!("the file `{}` with {}", shown(&file.path), size(file.size));
            return Err(Error::limit(what, format!("{} for one file", size(limits.file_bytes))));
        }
        sum = sum.saturating_add(file.size);
    }
    if sum > limits.bytes {
        let what = format!("the bundle with {} unpacked", size(sum));
        return Err(Error::limit(what, size(limits.bytes)));
    }
    let files: Vec<&str> = index.files.iter().map(|file| file.path.as_str()).collect();
    let folders: Vec<&str> = index.folders.iter().map(String::as_str).collect();
    for entry in files.iter().chain(&folders) {
        path(entry, limits)?;
        header::header(entry, 0)?;
    }
    ascending(&files)?;
    ascending(&folders)?;
    let mut taken = Taken { by_folded: HashMap::new(), limits };
    for file in files {
        taken.take(file, Kind::File)?;
    }
    // From the end, so that a folder comes after those below it, which imply it.
    for folder in folders.into_iter().rev() {
        taken.take(folder, Kind::Folder)?;
    }
    if !index.files.iter().any(|file| file.path == MANIFEST) {
        return Err(Error::Index(format!("there is no `{MANIFEST}` in it")));
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

fn too_many(entries: usize, limits: &Limits) -> Error {
    Error::limit(format!("the bundle with {entries} or more files and folders"), limits.entries.to_string())
}

fn refuse(path: &str, reason: impl Into<String>) -> Error {
    Error::Path { path: shown(path), reason: reason.into() }
}

fn ascending(paths: &[&str]) -> Result<(), Error> {
    for pair in paths.windows(2) {
        if pair[0] == pair[1] {
            return Err(refuse(pair[1], "it is there twice"));
        }
        if pair[0] > pair[1] {
            return Err(refuse(pair[1], "it is out of order"));
        }
    }
    Ok(())
}

/// A path by itself.
fn path(path: &str, limits: &Limits) -> Result<(), Error> {
    let most = limits.path_bytes.min(TAR_PATH_BYTES);
    if path.len() > most {
        return Err(refuse(path, format!("it has {} bytes, over the limit of {most}", path.len())));
    }
    if path.starts_with('/') {
        return Err(refuse(path, "it is absolute"));
    }
    if path.contains(['\\', '\0']) || path.contains(char::is_control) {
        return Err(refuse(path, "it has a backslash or a control character"));
    }
    for part in path.split('/') {
        match part {
            "" | "." => return Err(refuse(path, "it has an empty or `.` part")),
            ".." => return Err(refuse(path, "it has a `..` part")),
            _ => {}
        }
    }
    let depth = path.split('/').count();
    if depth > limits.depth {
        return Err(refuse(path, format!("it has {depth} parts, over the limit of {}", limits.depth)));
    }
    Ok(())
}

/// What is at each path, folded to lower case: a name that differs from another in case only would be
/// the same file on some file systems, and for some eyes.
struct Taken<'a> {
    by_folded: HashMap<String, (&'a str, Kind)>,
    limits: &'a Limits,
}

impl<'a> Taken<'a> {
    /// Takes a path and the folders above it.
    fn take(&mut self, path: &'a str, kind: Kind) -> Result<(), Error> {
        if [INDEX_NAME, SIGNATURE_NAME].contains(&path.to_lowercase().as_str()) {
            return Err(refuse(path, "the name is the bundle's own"));
        }
        for (end, _) in path.match_indices('/') {
            self.take_one(&path[..end], Kind::Folder, true)?;
        }
        self.take_one(path, kind, false)
    }

    fn take_one(&mut self, path: &'a str, kind: Kind, implied: bool) -> Result<(), Error> {
        if let Some((other, other_kind)) = self.by_folded.get(&path.to_lowercase()) {
            let other = shown(other);
            return if other != shown(path) {
                Err(refuse(path, format!("it differs from `{other}` in case only")))
            } else if kind != *other_kind {
                Err(refuse(path, "it is a file and a folder"))
            } else if implied {
                Ok(())
            } else {
                Err(refuse(path, "another path implies this folder, so it must not be named"))
            };
        }
        if self.by_folded.len() >= self.limits.entries {
            return Err(too_many(self.by_folded.len() + 1, self.limits));
        }
        self.by_folded.insert(path.to_lowercase(), (path, kind));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bundle::File, digest::Digest};

    fn index(folders: &[&str], files: &[(&str, u64)]) -> Index {
        let sha256 = Digest::of(b"");
        let files = files.iter().map(|(path, size)| File { path: (*path).to_owned(), size: *size, sha256 });
        let folders = folders.iter().map(|path| (*path).to_owned()).collect();
        Index::new("a".to_owned(), "1".to_owned(), folders, files.collect())
    }

    #[test]
    fn paths_as_a_table() {
        let long = "x".repeat(101);
        let longer = ["y"; 129].join("/");
        let deep = ["d"; 33].join("/");
        let cases: [(&[&str], &[&str], &str); 25] = [
            (&[], &["hatchery.toml"], ""),
            (&["empty"], &["a/b", "hatchery.toml", "z/ü.html"], ""),
            (&["a/c"], &["a/b", "hatchery.toml"], ""),
            (&[], &["a"], "no `hatchery.toml`"),
            (&[], &["../x", "hatchery.toml"], "`..` part"),
            (&[], &["a/../../x", "hatchery.toml"], "`..` part"),
            (&["../x"], &["hatchery.toml"], "`..` part"),
            (&[], &["/etc/passwd", "hatchery.toml"], "absolute"),
            (&[], &["", "hatchery.toml"], "empty or `.` part"),
            (&[], &["./a", "hatchery.toml"], "empty or `.` part"),
            (&[], &["a//b", "hatchery.toml"], "empty or `.` part"),
            (&[], &["a/", "hatchery.toml"], "empty or `.` part"),
            (&[], &["a\\b", "hatchery.toml"], "backslash"),
            (&[], &["a\nb", "hatchery.toml"], "control"),
            (&[], &["a\0b", "hatchery.toml"], "control"),
            (&[], &["hatchery.toml", "hatchery.toml"], "there twice"),
            (&[], &["hatchery.toml", "a"], "out of order"),
            (&[], &["A", "a", "hatchery.toml"], "in case only"),
            (&[], &["A/x", "a/y", "hatchery.toml"], "in case only"),
            (&["a"], &["a/b", "hatchery.toml"], "another path implies"),
            (&["a", "a/b"], &["hatchery.toml"], "another path implies"),
            (&[], &["a", "a/b", "hatchery.toml"], "a file and a folder"),
            (&[], &["hatchery-bundle.json", "hatchery.toml"], "bundle's own"),
            (&[], &["hatchery.toml", &long], "100 bytes"),
            (&[], &["hatchery.toml", &longer], "limit of 255"),
        ];
        for (folders, files, expected) in cases {
            let files: Vec<_> = files.iter().map(|path| (*path, 1)).collect();
            let found = check(&index(folders, &files), &Limits::default());
            match found {
                Ok(()) => assert_eq!(expected, "", "{files:?}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!expected.is_empty() && error.contains(expected), "{files:?}: {error}");
                }
            }
        }
        let error = check(&index(&[], &[(&deep, 1), ("hatchery.toml", 1)]), &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("33 parts"), "{error}");
    }

    #[test]
    fn sizes_as_a_table() {
        let limits = Limits { entries: 4, bytes: 100, file_bytes: 60, ..Limits::default() };
        let cases: [(&[(&str, u64)], &str); 5] = [
            (&[("a", 50), ("b", 40), ("hatchery.toml", 10)], ""),
            (&[("a", 61), ("hatchery.toml", 10)], "one file"),
            (&[("a", 60), ("hatchery.toml", 41)], "unpacked"),
            (&[("a", u64::MAX), ("b", u64::MAX), ("hatchery.toml", 1)], "one file"),
            (&[("a/a", 1), ("b/a", 1), ("hatchery.toml", 1)], "files and folders"),
        ];
        for (files, expected) in cases {
            let found = check(&index(&[], files), &limits).err().map(|error| error.to_string());
            assert_eq!(found.is_some(), !expected.is_empty(), "{files:?} {found:?}");
            assert!(found.unwrap_or_default().contains(expected), "{files:?}");
        }
    }
}
