//! Compiled code in memory that nobody can change any more.
//!
//! The compiler writes and seals it; master and children pass the fd on. Sealed means that content
//! and size are fixed for good, so that mapping it is safe ([`super::native`]).

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

/// Copies the bytes into a new memfd and seals it. The name shows in `/proc` only.
///
/// # Errors
/// The system's own; a name with a NUL byte, or of more than 249 bytes.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all_seals()))?;
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

fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

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
        let fd = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
        assert!(!is_sealed(&fd).unwrap());
    }
}
