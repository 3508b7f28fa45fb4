//! What goes from a cache: entries that nobody needs any more, what is none of ours, and, where it is too
//! much, what was not used for longest. Nothing that runs minds: it has its code in memory.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;

use super::Id;
use crate::digest::Digest;

/// The most bytes of all entries.
const MAX_BYTES: u64 = 8 << 30;

/// The most entries.
const MAX_ENTRIES: usize = 4096;

/// How long what has no name of ours stays: another process may be writing it.
const STRANGE: Duration = Duration::from_secs(60 * 60);

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries, and files that are none.
    pub entries: usize,
    /// Their sum.
    pub bytes: u64,
}

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    /// `None` where it is none of ours, of another version's format perhaps.
    id: Option<Id>,
    bytes: u64,
    /// For how long it was not used.
    idle: Duration,
}

/// Removes entries of components that nobody needs, and what is old or too much.
///
/// # Errors
/// The folder can't be read, or a file not be removed.
pub fn prune(folder: &Path, unneeded: impl Fn(&Digest) -> bool) -> anyhow::Result<Removed> {
    let (found, mut removed) = (look(folder)?, Removed::default());
    for file in going(found, unneeded) {
        match fs::remove_file(&file.path) {
            // Somebody else prunes too.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            done => done.with_context(|| format!("cannot remove {}", file.path.display()))?,
        }
        removed.entries += 1;
        removed.bytes += file.bytes;
    }
    Ok(removed)
}

fn look(folder: &Path) -> anyhow::Result<Vec<Found>> {
    let (now, mut found) = (SystemTime::now(), vec![]);
    let context = || format!("cannot read the compile cache in {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        // What is gone already needs no look; a folder is none of ours, and stays.
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            continue;
        }
        let idle = about.modified().ok().and_then(|then| now.duration_since(then).ok());
        found.push(Found {
            path: entry.path(),
            id: entry.file_name().to_str().and_then(Id::of_name),
            bytes: about.len(),
            idle: idle.unwrap_or_default(),
        });
    }
    Ok(found)
}

/// Of these, those that go.
fn going(found: Vec<Found>, unneeded: impl Fn(&Digest) -> bool) -> Vec<Found> {
    let goes = |file: &Found| match file.id {
        Some(id) => unneeded(&id.component),
        None => file.idle > STRANGE,
    };
    let (mut go, mut stay): (Vec<_>, Vec<_>) = found.into_iter().partition(goes);
    stay.sort_by_key(|file| file.idle);
    let (mut bytes, mut count) = (0_u64, 0);
    for file in stay {
        bytes = bytes.saturating_add(file.bytes);
        count += 1;
        if (bytes > MAX_BYTES || count > MAX_ENTRIES) && file.id.is_some() {
            go.push(file);
        }
    }
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, id: Option<&str>, bytes: u64, idle: u64) -> Found {
        let id = id.map(|of| Id {
            component: Digest::of(of.as_bytes()),
            owner: 0,
            settings: Digest::of(b"settings"),
        });
        Found { path: name.into(), id, bytes, idle: Duration::from_secs(idle) }
    }

    fn names(going: &[Found]) -> Vec<&str> {
        going.iter().map(|file| file.path.to_str().unwrap()).collect()
    }

    #[test]
    fn what_goes_as_a_table() {
        let hour = STRANGE.as_secs();
        for (what, found, gone) in [
            ("nothing", vec![], &[][..]),
            ("one that is needed", vec![file("a", Some("a"), 1, 10 * hour)], &[]),
            ("one that is not", vec![file("a", Some("a"), 1, 0), file("x", Some("x"), 1, 0)], &["x"]),
            ("a new file of no name of ours", vec![file("t", None, 1, hour)], &[]),
            ("an old one", vec![file("t", None, 1, hour + 1)], &["t"]),
            (
                "too much: the longest unused",
                vec![
                    file("old", Some("a"), MAX_BYTES / 2, 30),
                    file("new", Some("b"), MAX_BYTES / 2, 10),
                    file("middle", Some("c"), MAX_BYTES / 2, 20),
                ],
                &["old"],
            ),
            ("one that is too large by itself", vec![file("a", Some("a"), MAX_BYTES + 1, 0)], &["a"]),
            (
                "none of ours counts, and stays",
                vec![file("t", None, MAX_BYTES, 0), file("a", Some("a"), 1, 1)],
                &["a"],
            ),
        ] {
            let unneeded = |digest: &Digest| *digest == Digest::of(b"x");
            assert_eq!(names(&going(found, unneeded)), gone, "{what}");
        }
        let many = (0..MAX_ENTRIES as u64 + 2).map(|number| file("a", Some("a"), 0, number)).collect();
        let gone = going(many, |_| false);
        assert_eq!(gone.iter().map(|file| file.idle.as_secs()).min(), Some(MAX_ENTRIES as u64));
        assert_eq!(gone.len(), 2);
    }

    #[test]
    fn files_of_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let name = |of: &str| {
            Id { component: Digest::of(of.as_bytes()), owner: 7, settings: Digest::of(b"settings") }.name()
        };
        let old_format = format!("{}-0123456789abcdef.native", Digest::of(b"a").hex());
        for name in [&name("a"), &name("x"), &old_format, "key", ".tmpnew"] {
            fs::write(folder.path().join(name), "12345").unwrap();
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        for name in [&old_format, "key"] {
            let file = fs::File::options().write(true).open(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - 2 * STRANGE).unwrap();
        }
        let removed = prune(folder.path(), |digest| *digest == Digest::of(b"x")).unwrap();
        assert_eq!(removed, Removed { entries: 3, bytes: 15 });
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".tmpnew", &name("a"), "folder"]);
    }
}
