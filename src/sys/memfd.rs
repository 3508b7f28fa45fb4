//! Memory as a file: what is written into it, and then sealed, nobody can change any more.
//!
//! The master makes it, has a compiler write into it, and seals it; it and its children pass the fd on.
//! Sealed means that content and size are fixed for good, so that mapping it is safe ([`super::native`]).
//! Sealing may wait: never on a runtime's own thread where it is more than a packet.
//!
//! The kernel refuses F_SEAL_WRITE with EBUSY while the file is mapped writably, and while anybody holds a
//! reference to one of its pages beside the page cache: a write in flight would still change it. For the
//! second it waits, about 150 ms (`memfd_wait_for_pins` in mm/memfd.c). But also what moves pages about in
//! memory (compaction, reclaim) holds such references for a moment, and on a machine with more to do than
//! CPUs that moment may last longer. So sealing is tried again, and last a copy is sealed in its place.

use std::{
    fs::File,
    io::{self, Read, Seek as _, Write},
    os::fd::{AsFd, OwnedFd},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

/// How often one file is tried to be sealed. The kernel waits each time, too.
const TRIES: u32 = 6;

/// How long before the second try; twice as long before each that follows. Together 124 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// How many copies are made, one after the other, of what can't be sealed.
const COPIES: u32 = 2;

/// Bytes that are copied at a time.
const PIECE: usize = 64 << 10;

/// A new one, empty. The name shows in `/proc` only.
///
/// # Errors
/// The system's own; a name with a NUL byte, or of more than 249 bytes.
pub fn create(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?.into())
}

/// Copies the bytes into a new memfd and seals it.
///
/// # Errors
/// As [`create`] and [`seal`].
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = create(name)?;
    file.write_all(bytes)?;
    seal(name, file)
}

/// Seals what [`create`] made, and gives it back. Where it stays busy, gives a sealed copy of it instead,
/// which is what it was when it was copied: who still writes to it writes to nothing.
///
/// # Errors
/// The system's own. `PermissionDenied` where somebody has put other seals on it, and forbidden more.
pub fn seal(name: &str, mut file: File) -> io::Result<OwnedFd> {
    for _ in 0..COPIES {
        match with_patience(|| add_seals(&file), thread::sleep) {
            Err(Errno::EBUSY) => file = copy(name, file)?,
            sealed => return Ok(sealed.map(|()| file.into())?),
        }
    }
    with_patience(|| add_seals(&file), thread::sleep)?;
    Ok(file.into())
}

/// Are content and size of this file fixed for good? Of anything but a memfd: no.
///
/// # Errors
/// The system's own.
pub fn is_sealed(fd: impl AsFd) -> io::Result<bool> {
    match fcntl(fd, FcntlArg::F_GET_SEALS) {
        Ok(seals) => Ok(SealFlag::from_bits_truncate(seals).contains(all_seals())),
        // What it says of files that know no seals.
        Err(Errno::EINVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn add_seals(file: &File) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_ADD_SEALS(all_seals())).map(drop)
}

/// Tries until it is not busy, or [`TRIES`] times.
fn with_patience(
    mut attempt: impl FnMut() -> Result<(), Errno>,
    mut pause: impl FnMut(Duration),
) -> Result<(), Errno> {
    for number in 1..TRIES {
        match attempt() {
            Err(Errno::EBUSY) => pause(FIRST_PAUSE * (1 << (number - 1))),
            done => return done,
        }
    }
    attempt()
}

fn copy(name: &str, mut from: File) -> io::Result<File> {
    let (mut to, mut buf) = (create(name)?, vec![0; PIECE]);
    // No more than there is now, if it should grow meanwhile.
    let mut left = from.metadata()?.len();
    from.rewind()?;
    while left > 0 {
        let room = buf.len().min(usize::try_from(left).unwrap_or(PIECE));
        let count = match from.read(&mut buf[..room]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buf[..count])?;
        left -= count as u64;
    }
    Ok(to)
}

fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::c_void,
        num::NonZeroUsize,
        os::{
            fd::AsRawFd as _,
            unix::fs::{FileExt, MetadataExt as _},
        },
        ptr::NonNull,
    };

    use nix::{
        libc,
        sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    };

    use super::*;

    #[test]
    fn holds_its_bytes_and_takes_no_more() {
        let file = File::from(sealed("test", b"bytes").unwrap());
        assert!(is_sealed(&file).unwrap());
        let mut back = [0; 5];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(&back, b"bytes");
        for refused in [file.write_at(b"x", 0).map(drop), file.set_len(1), file.set_len(9)] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn others_are_not_sealed() {
        assert!(!is_sealed(tempfile::tempfile().unwrap()).unwrap());
        let file = create("test").unwrap();
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
        assert!(!is_sealed(&file).unwrap());
    }

    #[test]
    fn patience_as_a_table() {
        for (busy, then, tried, expected) in [
            (0, Ok(()), 1, Ok(())),
            (1, Ok(()), 2, Ok(())),
            (5, Ok(()), 6, Ok(())),
            (6, Ok(()), 6, Err(Errno::EBUSY)),
            (0, Err(Errno::EPERM), 1, Err(Errno::EPERM)),
            (2, Err(Errno::EPERM), 3, Err(Errno::EPERM)),
        ] {
            let (mut calls, mut waited) = (0, Duration::ZERO);
            let attempt = || {
                calls += 1;
                if calls <= busy { Err(Errno::EBUSY) } else { then }
            };
            let pause = |time: Duration| waited += time;
            assert_eq!(with_patience(attempt, pause), expected, "{busy} {then:?}");
            assert_eq!(calls, tried, "{busy} {then:?}");
            assert_eq!(waited, FIRST_PAUSE * ((1 << (tried - 1)) - 1), "{busy} {then:?}");
        }
    }

    /// A page of it, mapped writably: what keeps the kernel from sealing it.
    struct Mapped(NonNull<c_void>);

    const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

    impl Mapped {
        fn of(file: &File) -> Self {
            let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            // SAFETY: a new mapping at an address of the kernel's choice; nothing of ours is there.
            Self(unsafe { mmap(None, PAGE, writable, MapFlags::MAP_SHARED, file, 0) }.unwrap())
        }

        fn write(&self, byte: u8) {
            // SAFETY: the page is mapped, and the file has as many bytes.
            unsafe { self.0.cast::<u8>().write_volatile(byte) }
        }
    }

    impl Drop for Mapped {
        fn drop(&mut self) {
            // SAFETY: mapped above, and nobody has a part of it.
            unsafe { munmap(self.0, PAGE.get()) }.unwrap();
        }
    }

    fn pages() -> File {
        let mut file = create("test").unwrap();
        file.write_all(&[1; 3 * PIECE + 5]).unwrap();
        file
    }

    #[test]
    fn one_that_was_mapped_for_a_moment_is_sealed() {
        let file = pages();
        let mut mapped = Some(Mapped::of(&file));
        assert_eq!(add_seals(&file), Err(Errno::EBUSY));
        with_patience(|| add_seals(&file), |_| drop(mapped.take())).unwrap();
        assert!(is_sealed(&file).unwrap());
    }

    /// As what moves pages about holds them: by a pipe, until that is read.
    #[test]
    fn one_whose_pages_were_held_for_a_moment_is_sealed() {
        let file = pages();
        let (held, pipe) = io::pipe().unwrap();
        let (mut offset, none) = (0, std::ptr::null_mut());
        let (from, to) = (file.as_raw_fd(), pipe.as_raw_fd());
        // SAFETY: both fds are open, the offset is written, and there is no other one.
        assert_eq!(unsafe { libc::splice(from, &raw mut offset, to, none, 4096, 0) }, 4096);
        let mut held = Some((held, pipe));
        assert_eq!(add_seals(&file), Err(Errno::EBUSY));
        with_patience(|| add_seals(&file), |_| drop(held.take())).unwrap();
        assert!(is_sealed(&file).unwrap());
    }

    #[test]
    fn of_one_that_stays_busy_a_copy_is_sealed() {
        let file = pages();
        let (number, length) = (file.metadata().unwrap().ino(), file.metadata().unwrap().len());
        let mapped = Mapped::of(&file);
        let file = File::from(seal("test", file).unwrap());
        assert!(is_sealed(&file).unwrap());
        assert_ne!(file.metadata().unwrap().ino(), number);
        mapped.write(2);
        let mut back = vec![0; 3 * PIECE + 5];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back.iter().all(|byte| *byte == 1));
        assert_eq!(file.metadata().unwrap().len(), length);
    }

    #[test]
    fn one_that_forbids_it_is_refused() {
        let file = pages();
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL)).unwrap();
        assert_eq!(seal("test", file).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
