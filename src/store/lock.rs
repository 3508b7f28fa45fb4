//! The store's lock, between processes: shared by who adds, exclusive for who removes. The system gives it
//! back when its holder ends, however it ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    thread,
    time::{Duration, Instant},
};

use super::{Error, Store};

/// How long one waits for the lock. Who adds keeps it as long as its archive takes to arrive.
const WAIT: Duration = Duration::from_secs(30);

/// How long between two tries. The lock has no way to wait with a deadline.
const PAUSE: Duration = Duration::from_millis(10);

/// Held until dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "closing it gives the lock back")] File);

impl Store {
    /// The lock of who adds.
    pub(super) fn lock_shared(&self) -> Result<Lock, Error> {
        self.wait(File::try_lock_shared)
    }

    /// The lock of who removes.
    pub(super) fn lock_alone(&self) -> Result<Lock, Error> {
        self.wait(File::try_lock)
    }

    /// As [`Store::lock_alone`], if nobody else has it.
    pub(super) fn try_lock_alone(&self) -> Result<Option<Lock>, Error> {
        self.attempt(File::try_lock)
    }

    fn wait(&self, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Lock, Error> {
        let end = Instant::now() + WAIT;
        loop {
            if let Some(lock) = self.attempt(lock)? {
                return Ok(lock);
            }
            if Instant::now() > end {
                return Err(Error::Busy { path: self.folder.join("lock"), waited: WAIT });
            }
            thread::sleep(PAUSE);
        }
    }

    fn attempt(&self, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Option<Lock>, Error> {
        let path = self.folder.join("lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(Error::file("open", &path))?;
        match lock(&file) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(Error::file("lock", path)(cause)),
        }
    }
}
