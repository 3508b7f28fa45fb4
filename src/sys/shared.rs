//! Memory that two processes share: one writes, the other reads what was left when the first is gone.
//!
//! Bytes, or words, are atomic, since the other side may change them at any time: what is read may be
//! torn, and is as hostile as a frame. `ipc::blackbox` and `ipc::counters` give it a layout.

use std::{
    ffi::CStr,
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap, munmap},
    },
    unistd::ftruncate,
};

/// A mapping of shared memory.
#[derive(Debug)]
pub struct Shared {
    start: NonNull<AtomicU8>,
    length: usize,
}

// SAFETY: it is plain memory that is only touched through atomics.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Bytes of one.
const WORD: NonZeroUsize = NonZeroUsize::new(size_of::<u64>()).expect("it is not empty");

/// Makes so many bytes of memory that can't be made smaller or larger.
///
/// # Errors
/// The system's own.
pub fn create(name: &CStr, length: NonZeroUsize) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let size = i64::try_from(length.get()).map_err(io::Error::other)?;
    ftruncate(&fd, size)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(fd)
}

impl Shared {
    /// Maps what [`create`] made, of the same length.
    ///
    /// # Errors
    /// The system's own; it could still be made smaller.
    pub fn map(fd: impl AsFd, length: NonZeroUsize) -> io::Result<Self> {
        let seals = fcntl(&fd, FcntlArg::F_GET_SEALS)?;
        if !SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK) {
            return Err(io::Error::other("shared memory that can be made smaller is not mapped"));
        }
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; nothing of ours is there.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { start: start.cast(), length: length.get() })
    }

    fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: the mapping is as long as that, lives as long as `self`, can't be made smaller
        // (sealed), and atomics may be changed by others at any time.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// Writes what fits at `offset`.
    pub fn write(&self, offset: usize, data: &[u8]) {
        let there = self.bytes().iter().skip(offset);
        for (byte, value) in there.zip(data) {
            byte.store(*value, Relaxed);
        }
    }

    /// Reads what there is at `offset`.
    #[must_use]
    pub fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        self.bytes().iter().skip(offset).take(length).map(|byte| byte.load(Relaxed)).collect()
    }
}

/// A mapping that is used by words alone: memory that is read and written in two sizes has no meaning
/// that one can rely on.
#[derive(Debug)]
pub struct Words(Shared);

impl Words {
    /// Makes so many words, all 0, and maps them.
    ///
    /// # Errors
    /// As [`create`] and [`Words::map`].
    pub fn create(name: &CStr, count: NonZeroUsize) -> io::Result<(Self, OwnedFd)> {
        let fd = create(name, length(count)?)?;
        Ok((Self::map(&fd, count)?, fd))
    }

    /// Maps what [`Words::create`] made, of the same count.
    ///
    /// # Errors
    /// As [`Shared::map`]; or it is more than can be addressed.
    pub fn map(fd: impl AsFd, count: NonZeroUsize) -> io::Result<Self> {
        Shared::map(fd, length(count)?).map(Self)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[AtomicU64] {
        let start: NonNull<AtomicU64> = self.0.start.cast();
        // SAFETY: the mapping begins at a page and is as long as that, lives as long as `self`, can't
        // be made smaller (sealed), is read as words only, and atomics may be changed by others at any
        // time.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), self.0.length / WORD.get()) }
    }
}

/// Of so many words, in bytes.
fn length(count: NonZeroUsize) -> io::Result<NonZeroUsize> {
    count.checked_mul(WORD).ok_or_else(|| io::Error::other(format!("{count} words are too many")))
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and nobody borrows from it any more.
        let _ = unsafe { munmap(self.start.cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_and_the_other_reads() {
        let length = NonZeroUsize::new(5000).unwrap();
        let fd = create(c"test", length).unwrap();
        let (one, other) = (Shared::map(&fd, length).unwrap(), Shared::map(&fd, length).unwrap());
        one.write(4996, b"abcdefgh");
        assert_eq!(other.read(4990, 100), b"\0\0\0\0\0\0abcd");
        assert_eq!(other.read(6000, 1), b"");
        drop(one);
        assert_eq!(other.read(4996, 1), b"a");
    }

    #[test]
    fn words_are_shared_too() {
        let count = NonZeroUsize::new(600).unwrap();
        let (one, fd) = Words::create(c"test", count).unwrap();
        let other = Words::map(&fd, count).unwrap();
        one.all()[599].store(u64::MAX - 1, Relaxed);
        assert_eq!(other.all().len(), 600);
        assert_eq!(other.all()[599].load(Relaxed), u64::MAX - 1);
    }

    #[test]
    fn what_could_shrink_is_not_mapped() {
        let file = tempfile::tempfile().unwrap();
        assert!(Shared::map(&file, NonZeroUsize::new(1).unwrap()).is_err());
        let memory = memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert!(Shared::map(&memory, NonZeroUsize::new(1).unwrap()).is_err());
    }
}
