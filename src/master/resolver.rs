//! The files that a resolver reads, as a broker sees them: those of when it was started, since who changes one
//! puts another in its place. `isolation` shows them to brokers, and `broker` replaces its own on a change.

use std::{path::PathBuf, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};

use super::stamp::Stamp;

/// The files.
pub(super) const FILES: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Files as they are at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files(Vec<(PathBuf, Stamp)>);

impl Files {
    /// On a thread of the runtime's: reading could wait.
    pub(super) async fn now() -> Self {
        Self::of(FILES.map(PathBuf::from).to_vec()).await
    }

    async fn of(paths: Vec<PathBuf>) -> Self {
        let with_stamp = |path: PathBuf| (path.clone(), Stamp::of(&path));
        let found = spawn_blocking(move || paths.into_iter().map(with_stamp).collect());
        Self(found.await.unwrap_or_default())
    }

    /// Waits until one is another than it was, and gives its path. One look at a time.
    pub(super) async fn changed(self) -> PathBuf {
        self.changed_within(EVERY).await
    }

    async fn changed_within(self, every: Duration) -> PathBuf {
        loop {
            sleep(every).await;
            let paths = self.0.iter().map(|(path, _)| path.clone()).collect();
            let now = Self::of(paths).await;
            let other = self.0.iter().zip(&now.0).find(|(before, now)| before != now);
            if let Some(((path, _), _)) = other {
                return path.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    const OFTEN: Duration = Duration::from_millis(5);
    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_file_in_anothers_place_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let [kept, other, absent] = ["kept", "other", "absent"].map(|name| folder.path().join(name));
        fs::write(&kept, "1").unwrap();
        fs::write(&other, "1").unwrap();
        let files = Files::of(vec![kept.clone(), other.clone(), absent.clone()]).await;
        assert!(timeout(OFTEN * 10, files.clone().changed_within(OFTEN)).await.is_err());
        let new = folder.path().join("new");
        fs::write(&new, "2").unwrap();
        fs::rename(new, &other).unwrap();
        assert_eq!(timeout(DEADLINE, files.changed_within(OFTEN)).await.unwrap(), other);
        let files = Files::of(vec![kept.clone(), absent.clone()]).await;
        fs::write(&absent, "").unwrap();
        assert_eq!(timeout(DEADLINE, files.changed_within(OFTEN)).await.unwrap(), absent);
        let files = Files::of(vec![kept.clone()]).await;
        fs::remove_file(&kept).unwrap();
        assert_eq!(timeout(DEADLINE, files.changed_within(OFTEN)).await.unwrap(), kept);
    }
}
