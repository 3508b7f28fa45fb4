//! One master to a home. The system drops the lock with the process, however that ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::Home;

/// How long a master that is being killed may still have it.
const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// How often is looked meanwhile.
const PAUSE: Duration = Duration::from_millis(10);

/// The most bytes of a pid.
const MAX_PID: u64 = 20;

/// Held for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it for this process. May wait for half a second.
    ///
    /// # Errors
    /// Another master has it; its pid is named.
    pub fn take(home: &Home) -> anyhow::Result<Self> {
        let mut file = open(home)?;
        match patiently(|| file.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read(&mut file).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
                bail!(
                    "a hatchery with pid {pid} runs already with the home {}; stop it with `hatchery stop`, or \
                     use another --home",
                    home.folder().display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the home"),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id()).context("cannot write to the home's lock")?;
        Ok(Self { _file: file })
    }
}

/// Tries again for a moment.
fn patiently(lock: impl Fn() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < LAST_MOMENTS => sleep(PAUSE),
            done => return done,
        }
    }
}

/// The OS pid of the master of this home, where there is one, and not only its last moments.
///
/// # Errors
/// The home can't be read.
pub fn lasting_holder(home: &Home) -> anyhow::Result<Option<u32>> {
    let file = open(home)?;
    let _ = patiently(|| file.try_lock_shared());
    drop(file);
    holder(home)
}

/// The OS pid of the master of this home, where there is one.
///
/// # Errors
/// The home can't be read.
pub fn holder(home: &Home) -> anyhow::Result<Option<u32>> {
    let mut file = open(home)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(read(&mut file)),
        Err(TryLockError::Error(error)) => Err(error).context("cannot look at the home's lock"),
    }
}

fn open(home: &Home) -> anyhow::Result<File> {
    let file = home.lock_file();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(&file).with_context(|| format!("cannot open {}", file.display()))
}

fn read(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        assert_eq!(holder(&home).unwrap(), None);
        let first = Lock::take(&home).unwrap();
        assert_eq!(holder(&home).unwrap(), Some(std::process::id()));
        let error = Lock::take(&home).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        assert_eq!(holder(&home).unwrap(), None);
        Lock::take(&home).unwrap();
    }
}
