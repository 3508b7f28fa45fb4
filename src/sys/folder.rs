//! An open folder. What is in it is reached by it and not by a path, so that nobody can put a link in the way.

use std::{
    ffi::OsStr,
    fs::{self, ReadDir},
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat},
    libc,
    sys::stat::Mode,
};

const FLAGS: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// See the top. Two fds while its entries are read.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// By its path, which may have links. `None` where there is no folder.
    ///
    /// # Errors
    /// The system's own.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        opened(open(path, FLAGS, Mode::empty()))
    }

    /// One that is in it. `None` where it is gone, or something else by now, such as a link.
    ///
    /// # Errors
    /// The system's own.
    pub fn inside(&self, name: &OsStr) -> io::Result<Option<Self>> {
        opened(openat(&self.0, name, FLAGS | OFlag::O_NOFOLLOW, Mode::empty()))
    }

    /// What is in it. [`std::fs::DirEntry::metadata`] looks there as well, and follows no link.
    ///
    /// # Errors
    /// The system's own; or `/proc` isn't mounted.
    pub fn entries(&self) -> io::Result<ReadDir> {
        fs::read_dir(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

fn opened(folder: nix::Result<OwnedFd>) -> io::Result<Option<Folder>> {
    match folder {
        Ok(fd) => Ok(Some(Folder(fd))),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Does it say nothing of a folder, but that this process or the machine has no fd or no memory left?
#[must_use]
pub fn is_for_want_of_room(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [libc::EMFILE, libc::ENFILE, libc::ENOMEM].iter().any(|wanting| code == Some(*wanting))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn it_is_what_it_was_whatever_its_path_leads_to_now() {
        let temp = tempfile::tempdir().unwrap();
        let (data, elsewhere) = (temp.path().join("data"), temp.path().join("elsewhere"));
        fs::create_dir_all(data.join("sub")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(data.join("sub/one"), "text").unwrap();
        let folder = Folder::open(&data).unwrap().unwrap();
        let sub = folder.inside("sub".as_ref()).unwrap().unwrap();
        let entry = sub.entries().unwrap().next().unwrap().unwrap();
        // A guest swaps it.
        fs::rename(data.join("sub"), data.join("moved")).unwrap();
        symlink(&elsewhere, data.join("sub")).unwrap();
        assert_eq!(entry.metadata().unwrap().len(), 4);
        assert_eq!(sub.entries().unwrap().count(), 1);
        for name in ["sub", "gone", "moved/one"] {
            assert!(folder.inside(name.as_ref()).unwrap().is_none(), "{name}");
        }
        assert!(Folder::open(&data.join("sub")).unwrap().is_some(), "who names it may mean a link");
        assert!(Folder::open(&data.join("moved/one")).unwrap().is_none());
    }
}
