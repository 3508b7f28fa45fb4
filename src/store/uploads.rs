//! Bundles that users other than the home's owner brought and that nothing uses yet: each user may have so many
//! bytes of them. Part of `store`, called when one more is added.
//!
//! Who brought a bundle is in its folder, in `uploader`. The owner's have no such file, and no bound.

use std::{collections::BTreeSet, fs, path::Path, time::SystemTime};

use bytesize::ByteSize;

use super::{Error, Store, stored::UPLOADER};
use crate::digest::Digest;

/// On whose behalf a bundle is added.
#[derive(Clone, Debug)]
pub struct Uploader {
    /// The user's id.
    pub uid: u32,
    /// The most bytes of this user's bundles that nothing uses, the new one included.
    pub most: u64,
    /// Bundles that something uses, whoever brought them.
    pub used: BTreeSet<Digest>,
}

/// One that nothing uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unused {
    since: SystemTime,
    digest: Digest,
    bytes: u64,
}

impl Store {
    /// Makes room for so many bytes of this user's: its oldest bundles that nothing uses go.
    pub(super) fn make_room(&self, uploader: &Uploader, bytes: u64) -> Result<(), Error> {
        let Uploader { uid, most, used } = uploader;
        if bytes > *most {
            return Err(Error::TooMuch { uid: *uid, bytes: ByteSize(bytes), most: ByteSize(*most) });
        }
        let mut unused = vec![];
        for bundle in self.list()?.into_iter().filter(|bundle| !used.contains(&bundle.digest)) {
            let folder = self.bundle(bundle.digest);
            let since = fs::metadata(&folder).and_then(|found| found.modified());
            if let (Some(its), Ok(since)) = (uploader_of(&folder), since)
                && its == *uid
            {
                unused.push(Unused { since, digest: bundle.digest, bytes: bundle.index.bytes() });
            }
        }
        let go = oldest(unused, most - bytes);
        if go.is_empty() {
            return Ok(());
        }
        tracing::info!(uid, bundles = go.len(), "removed from the store: uploaded, and never deployed");
        self.remove(&go).map(drop)
    }

    /// A bundle that was there is brought again, by somebody else maybe: then it is theirs. The owner's stays the
    /// owner's.
    pub(super) fn relabel(&self, digest: Digest) -> Result<(), Error> {
        let folder = self.bundle(digest);
        let file = folder.join(UPLOADER);
        match (uploader_of(&folder), &self.uploader) {
            (None, _) => Ok(()),
            (Some(_), None) => fs::remove_file(&file).map_err(Error::file("remove", file)),
            (Some(before), Some(now)) if before == now.uid => Ok(()),
            (Some(_), Some(now)) => {
                let tmp = self.temporary()?;
                let new = tmp.path().join(UPLOADER);
                fs::write(&new, now.uid.to_string()).map_err(Error::file("write", &new))?;
                fs::rename(&new, &file).map_err(Error::file("replace", file))
            }
        }
    }
}

/// The oldest ones, so that no more than this is left.
fn oldest(mut unused: Vec<Unused>, room: u64) -> Vec<Digest> {
    unused.sort_unstable();
    let mut sum: u64 = unused.iter().map(|one| one.bytes).sum();
    let mut go = vec![];
    for one in unused {
        if sum <= room {
            break;
        }
        sum -= one.bytes;
        go.push(one.digest);
    }
    go
}

fn uploader_of(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join(UPLOADER)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_go_as_a_table() {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let one = |name: &str, second: u64, bytes: u64| Unused {
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            digest: digest(name),
            bytes,
        };
        let three = [one("b", 2, 20), one("a", 1, 10), one("c", 3, 30)];
        for (room, expected) in [
            (60, &[][..]),
            (59, &["a"]),
            (50, &["a"]),
            (49, &["a", "b"]),
            (29, &["a", "b", "c"]),
            (0, &["a", "b", "c"]),
        ] {
            let expected: Vec<_> = expected.iter().copied().map(digest).collect();
            assert_eq!(oldest(three.to_vec(), room), expected, "{room}");
        }
    }
}
