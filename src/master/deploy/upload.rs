//! Takes bundles in. The home's owner, and who may do everything, may fill the disk; others have bounds, which
//! the settings say: `[uploads]`. `admin` calls it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use hyper::body::Incoming;
use tokio::task::spawn_blocking;

use super::Deployer;
use crate::{
    home::{Home, Record, Settings},
    ipc::store::{Answer, Bundle, UploadBy},
    master::store,
    sys::disk,
};

/// Uploads of one user at once.
const MAX_UPLOADS: usize = 2;

/// Who uploads something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Uploads {
    /// As much as it likes.
    Freely,
    /// This user, who has bounds.
    By(u32),
}

/// How many uploads of each user are under way. Clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<BTreeMap<u32, usize>>>);

/// One of them.
struct Upload(UnderWay, u32);

impl UnderWay {
    fn begin(&self, uid: u32) -> anyhow::Result<Upload> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.entry(uid).or_default();
        if *count >= MAX_UPLOADS {
            bail!("uid {uid} uploads {MAX_UPLOADS} bundles already, the most at once; wait for one's end");
        }
        *count += 1;
        Ok(Upload(self.clone(), uid))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut users = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.1);
            }
        }
    }
}

impl Deployer {
    /// Takes in a bundle.
    pub(in super::super) async fn add(&self, archive: Incoming, who: Uploads) -> anyhow::Result<Bundle> {
        let (_upload, by) = match who {
            Uploads::Freely => (None, None),
            Uploads::By(uid) => {
                let upload = self.0.uploads.begin(uid)?;
                let (home, meant) = (self.home().clone(), self.meant());
                let bounds = spawn_blocking(move || bounds(&home, uid, meant)).await;
                (Some(upload), Some(bounds.context("looking for room broke")??))
            }
        };
        match store::add(self.home().folder(), archive, by).await? {
            Answer::Added(bundle) => Ok(bundle),
            _ => bail!("the store gave another answer than was asked for"),
        }
    }
}

/// What this user may bring. What records name is used, and what is being deployed.
fn bounds(home: &Home, uid: u32, meant: BTreeSet<String>) -> anyhow::Result<UploadBy> {
    let uploads = Settings::load(home)?.uploads;
    let free = disk::free(home.folder()).context("cannot find out how much room the home's disk has")?;
    if free < uploads.keep_free.0 {
        bail!(
            "the home's disk has {} left, and below {} nobody but its owner uploads (`uploads.keep-free` in \
             settings.toml); the owner can make room with `hatchery store prune`",
            ByteSize(free),
            uploads.keep_free
        );
    }
    let mut used = meant;
    for name in Record::names(home)? {
        // One that can't be read names nothing that could run.
        used.extend(Record::load(home, &name).map(|record| record.bundles()).unwrap_or_default());
    }
    Ok(UploadBy { uid, most: uploads.undeployed.0, used: used.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::home::Deployed;

    #[test]
    fn two_at_once_of_each() {
        let under_way = UnderWay::default();
        let (first, _second, _other) =
            (under_way.begin(1).unwrap(), under_way.begin(1).unwrap(), under_way.begin(2).unwrap());
        assert!(under_way.begin(1).err().unwrap().to_string().contains("uid 1 uploads 2 bundles already"));
        drop(first);
        under_way.begin(1).unwrap();
    }

    #[test]
    fn bounds_are_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let deployed = Some(Deployed { digest: "sha256:a".to_owned(), version: "1".to_owned() });
        let record = Record { deployed, ..Record::default() };
        record.prepare(&home, "app").unwrap().commit().unwrap();
        let meant = BTreeSet::from(["sha256:b".to_owned()]);
        let settings = |text: &str| fs::write(Settings::file(&home), text).unwrap();
        settings("[uploads]\nundeployed = \"1MiB\"\nkeep-free = \"0\"\n");
        let found = bounds(&home, 7, meant.clone()).unwrap();
        assert_eq!((found.uid, found.most), (7, 1 << 20));
        assert_eq!(found.used, ["sha256:a", "sha256:b"]);
        settings("[uploads]\nkeep-free = \"1EiB\"\n");
        let error = bounds(&home, 7, meant).unwrap_err().to_string();
        assert!(error.contains("nobody but its owner uploads (`uploads.keep-free`"), "{error}");
    }
}
