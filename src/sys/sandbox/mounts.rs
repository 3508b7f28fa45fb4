//! A root with nothing in it but what was granted.
//!
//! ```text
//!   /              tmpfs, read-only, empty but for the places of these:
//!     fds/         this process's own fds by number, since wasmtime maps code by a path
//!     folders/0    what a guest was granted, by number; others under their own paths
//! ```
//!
//! All of it is nosuid, nodev and noexec. In a mount namespace of the process's own, in which it still has
//! the right to mount.

use std::{
    ffi::{CStr, CString},
    fs::{DirBuilder, File},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2},
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::stat::Mode,
    unistd::{chdir, pivot_root},
};

use super::{At, Folder, Profile};

/// Where this process's fds are.
pub(super) const FDS: &str = "/fds";

/// Where the numbered ones are.
const FOLDERS: &str = "/folders";

/// Any folder that is everywhere, and not needed any more.
const STAGE: &str = "/proc";

/// Of the root itself: bytes of names, and how many.
const ROOT: &str = "mode=755,size=1m,nr_inodes=4k";

/// A part of the old file system, taken out of it.
struct Tree {
    fd: OwnedFd,
    at: PathBuf,
    is_folder: bool,
}

/// Goes there. Gives where each folder was and where it is.
pub(super) fn enter(profile: &Profile) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    if !profile.namespaces.mount() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // What is mounted here from now on is nobody else's affair.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let mut trees = vec![Tree::take(&follow(Path::new("/proc/self/fd"))?, FDS.into(), Writes::No)?];
    let mut places = vec![];
    for (number, folder) in profile.folders.iter().enumerate() {
        match take(folder, number) {
            Ok((tree, at)) => {
                trees.push(tree);
                places.push((folder.source.clone(), at));
            }
            // Whoever opens it hears so, by its own path.
            Err(error) if is_out_of_reach(folder, &error) => {}
            // A file that forbids something must not look as if it was not there.
            Err(error) => {
                let path = folder.source.display();
                return Err(io::Error::new(error.kind(), format!("cannot take {path} into it: {error}")));
            }
        }
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("hatchery"), STAGE, Some("tmpfs"), flags, Some(ROOT))?;
    let done = trees.iter().try_for_each(Tree::put).and_then(|()| turn());
    if done.is_err() {
        let _ = umount2(STAGE, MntFlags::MNT_DETACH);
    }
    done.map(|()| places)
}

/// It is not there; or, of what a guest was granted, this user may not go there.
fn is_out_of_reach(folder: &Folder, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound => true,
        io::ErrorKind::PermissionDenied => folder.at == At::Number,
        _ => false,
    }
}

/// Makes the stage the root.
fn turn() -> io::Result<()> {
    chdir(STAGE)?;
    // See pivot_root(2): both are the same folder, and what was the root lies on top.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    let root = File::open("/")?;
    set(&root, libc::MOUNT_ATTR_RDONLY, 0)
}

fn take(folder: &Folder, number: usize) -> io::Result<(Tree, PathBuf)> {
    let at = match folder.at {
        At::Number => Path::new(FOLDERS).join(number.to_string()),
        At::Given => folder.source.clone(),
        At::Real => folder.source.canonicalize()?,
    };
    let writes = if folder.writable { Writes::Yes } else { Writes::No };
    let source = match folder.at {
        At::Number => itself(&folder.source)?,
        At::Given | At::Real => follow(&folder.source)?,
    };
    Ok((Tree::take(&source, at.clone(), writes)?, at))
}

fn follow(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// What a guest was granted is a path without links. One that has taken its place leads to what it was not
/// granted.
fn itself(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, how) {
        Err(Errno::ELOOP) => {
            let what = "a link has taken the place of a folder; deploy or start the app again";
            Err(io::Error::other(what))
        }
        other => Ok(other?),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    Yes,
    No,
}

impl Tree {
    fn take(source: &OwnedFd, at: PathBuf, writes: Writes) -> io::Result<Self> {
        let flags = libc::OPEN_TREE_CLONE
            | libc::OPEN_TREE_CLOEXEC
            | libc::c_uint::try_from(libc::AT_RECURSIVE | libc::AT_EMPTY_PATH).map_err(io::Error::other)?;
        let (source, none) = (source.as_raw_fd(), c"".as_ptr());
        // SAFETY: the fd is open until the end, and the path ends in NUL.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, source, none, flags) };
        let fd = i32::try_from(Errno::result(fd)?).map_err(io::Error::other)?;
        // SAFETY: the call has just made it, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let is_folder = File::from(fd.try_clone()?).metadata()?.is_dir();
        let no = if writes == Writes::No { libc::MOUNT_ATTR_RDONLY } else { 0 };
        let flags = no | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
        set(&fd, flags, libc::AT_RECURSIVE)?;
        Ok(Self { fd, at, is_folder })
    }

    /// Puts it into the stage.
    fn put(&self) -> io::Result<()> {
        let at = Path::new(STAGE).join(self.at.strip_prefix("/").map_err(io::Error::other)?);
        if !at.try_exists()? {
            let folder = if self.is_folder { Some(at.as_path()) } else { at.parent() };
            DirBuilder::new().recursive(true).mode(0o755).create(folder.unwrap_or(Path::new(STAGE)))?;
            if !self.is_folder {
                File::create(&at)?;
            }
        }
        let at = CString::new(at.as_os_str().as_bytes())?;
        let (from, none) = (self.fd.as_raw_fd(), c"".as_ptr());
        let (to, flags) = (libc::AT_FDCWD, libc::MOVE_MOUNT_F_EMPTY_PATH);
        // SAFETY: the fd is open, both paths end in NUL.
        let done = unsafe { libc::syscall(libc::SYS_move_mount, from, none, to, at.as_ptr(), flags) };
        Errno::result(done)?;
        Ok(())
    }
}

fn set(mount: &impl AsFd, flags: u64, how: libc::c_int) -> io::Result<()> {
    const NONE: &CStr = c"";
    let attributes = libc::mount_attr { attr_set: flags, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let (fd, size) = (mount.as_fd().as_raw_fd(), size_of::<libc::mount_attr>());
    let how = how | libc::AT_EMPTY_PATH;
    // SAFETY: the fd is open, the path ends in NUL, and the attributes are as long as is said.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd, NONE.as_ptr(), how, &raw const attributes, size)
    };
    Errno::result(done)?;
    Ok(())
}
