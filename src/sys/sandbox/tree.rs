//! A part of the file system, taken out of it: a mount that is nowhere yet.
//!
//! `mounts` takes them in a child that is root of its own mounts; `hand` takes them in the master, for a child
//! whose user could not go there.

use std::{
    ffi::{CStr, CString},
    fs::{DirBuilder, File},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
    libc,
};

use super::{At, Folder};

const HERE: &CStr = c"";

/// May it be changed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    Yes,
    No,
}

impl Writes {
    pub(super) fn of(writable: bool) -> Self {
        if writable { Self::Yes } else { Self::No }
    }
}

/// Finds a folder or file of a profile. The source of a guest's folder has no links: one that is there all the same
/// is somebody's trick, and is not followed (ELOOP).
pub(super) fn find(folder: &Folder) -> io::Result<File> {
    let links = match folder.at {
        At::Number => ResolveFlag::RESOLVE_NO_SYMLINKS,
        At::Given | At::Real => ResolveFlag::empty(),
    };
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(links);
    Ok(openat2(AT_FDCWD, &folder.source, how)?.into())
}

/// Is it that there is a link?
pub(super) fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// What is open, with all that is mounted below it.
pub(super) fn take(opened: &impl AsFd) -> io::Result<OwnedFd> {
    let how = libc::c_uint::try_from(libc::AT_EMPTY_PATH | libc::AT_RECURSIVE).map_err(io::Error::other)?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | how;
    let at = opened.as_fd().as_raw_fd();
    // SAFETY: the fd is open, the path ends in NUL.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, at, HERE.as_ptr(), flags) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(io::Error::other)?;
    // SAFETY: the call has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Nothing in it is a program, a device, or gives rights; what is mounted there on the host from now on is not
/// seen. With a user namespace, owners are those that it maps them to.
pub(super) fn restrict(tree: &impl AsFd, writes: Writes, owners: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let no = if writes == Writes::No { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let flags = no | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    let (map, userns_fd) = match owners {
        Some(owners) => {
            (libc::MOUNT_ATTR_IDMAP, u64::try_from(owners.as_raw_fd()).map_err(io::Error::other)?)
        }
        None => (0, 0),
    };
    let attributes =
        libc::mount_attr { attr_set: flags | map, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd };
    set(tree, attributes, libc::AT_RECURSIVE)
}

/// This mount alone is read-only.
pub(super) fn read_only(mount: &impl AsFd) -> io::Result<()> {
    let attr_set = libc::MOUNT_ATTR_RDONLY;
    set(mount, libc::mount_attr { attr_set, attr_clr: 0, propagation: 0, userns_fd: 0 }, 0)
}

fn set(mount: &impl AsFd, attributes: libc::mount_attr, how: libc::c_int) -> io::Result<()> {
    let (fd, size) = (mount.as_fd().as_raw_fd(), size_of::<libc::mount_attr>());
    let how = how | libc::AT_EMPTY_PATH;
    // SAFETY: the fd is open, the path ends in NUL, and the attributes are as long as is said.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd, HERE.as_ptr(), how, &raw const attributes, size)
    };
    Errno::result(done)?;
    Ok(())
}

/// A tree, and where it belongs.
pub(super) struct Tree {
    pub(super) fd: OwnedFd,
    /// In the new root.
    pub(super) at: PathBuf,
}

impl Tree {
    /// Puts it into the stage, which is to be the new root.
    pub(super) fn put(&self, stage: &Path) -> io::Result<()> {
        let is_folder = File::from(self.fd.try_clone()?).metadata()?.is_dir();
        let at = stage.join(self.at.strip_prefix("/").map_err(io::Error::other)?);
        if !at.try_exists()? {
            let folder = if is_folder { Some(at.as_path()) } else { at.parent() };
            DirBuilder::new().recursive(true).mode(0o755).create(folder.unwrap_or(stage))?;
            if !is_folder {
                File::create(&at)?;
            }
        }
        let at = CString::new(at.as_os_str().as_bytes())?;
        let from = self.fd.as_raw_fd();
        let (to, flags) = (libc::AT_FDCWD, libc::MOVE_MOUNT_F_EMPTY_PATH);
        // SAFETY: the fd is open, both paths end in NUL.
        let done =
            unsafe { libc::syscall(libc::SYS_move_mount, from, HERE.as_ptr(), to, at.as_ptr(), flags) };
        Errno::result(done)?;
        Ok(())
    }
}
