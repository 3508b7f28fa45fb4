//! Keeps the log of a master in the background bounded. Every process of a cluster has the same file
//! open, so it is copied and cut rather than renamed; what is written in between is lost.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The most bytes of the log; it is cut a little later.
const MAX_LOG: u64 = 16 << 20;

/// Former ones that are kept, as `hatchery.log.1` (the newest) and so on.
const KEPT: usize = 4;

/// The number of the one that is being made.
const COPY: usize = 0;

/// Looks, and cuts. Failures are logged, no more.
pub(crate) async fn when_large(log: PathBuf) {
    let looked = tokio::task::spawn_blocking(move || cut(&log, MAX_LOG)).await;
    if let Ok(Err(error)) = looked {
        tracing::warn!(%error, "cannot cut the log");
    }
}

fn cut(log: &Path, most: u64) -> io::Result<()> {
    if fs::metadata(log)?.len() < most {
        return Ok(());
    }
    // First what can fail: a full disk must not cost the former ones, time after time.
    let copy = former(log, COPY);
    if let Err(error) = fs::copy(log, &copy) {
        let _ = fs::remove_file(&copy);
        return Err(error);
    }
    for number in (COPY..KEPT).rev() {
        let (from, to) = (former(log, number), former(log, number + 1));
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Everybody appends: after this, from the beginning.
    fs::OpenOptions::new().write(true).open(log)?.set_len(0)
}

fn former(log: &Path, number: usize) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut writer = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        for number in 0..KEPT + 3 {
            writer.write_all(format!("{number:010}").as_bytes()).unwrap();
            cut(&log, 10).unwrap();
            assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        }
        writer.write_all(b"short").unwrap();
        cut(&log, 10).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "short");
        assert_eq!(fs::read_to_string(former(&log, 1)).unwrap(), format!("{:010}", KEPT + 2));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT + 1);
    }

    #[test]
    fn a_copy_that_fails_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        for number in 1..=KEPT {
            fs::write(former(&log, number), number.to_string()).unwrap();
        }
        // As on a full disk.
        for _ in 0..KEPT {
            fs::write(&log, "0123456789").unwrap();
            std::os::unix::fs::symlink("/dev/full", former(&log, COPY)).unwrap();
            assert_eq!(cut(&log, 10).unwrap_err().kind(), io::ErrorKind::StorageFull);
            for number in 1..=KEPT {
                assert_eq!(fs::read_to_string(former(&log, number)).unwrap(), number.to_string());
            }
            assert_eq!(fs::read_to_string(&log).unwrap(), "0123456789");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT + 1, "half a copy is left");
        }
        // And when there is room again.
        cut(&log, 10).unwrap();
        assert_eq!(fs::read_to_string(former(&log, 1)).unwrap(), "0123456789");
        assert_eq!(fs::read_to_string(former(&log, KEPT)).unwrap(), (KEPT - 1).to_string());
    }
}
