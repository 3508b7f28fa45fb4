//! A root with nothing in it but what was granted.
//!
//! ```text
//!   /              tmpfs, read-only, empty but for the places of these:
//!     fds/         this process's own fds by number, since wasmtime maps code by a path
//!     folders/0    what a guest was granted, by number; others under their own paths
//! ```
//!
//! All of it is nosuid, nodev and noexec. In a mount namespace of the process's own, in which it still has
//! the right to mount. What the master has handed over ([`super::hand`]) is taken as it is.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nix::{
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};

use super::{
    At, Folder, Profile,
    tree::{self, Tree, Writes},
};
use crate::sys::inherit;

/// Where this process's fds are.
pub(super) const FDS: &str = "/fds";

/// Where the numbered ones are.
const FOLDERS: &str = "/folders";

/// Any folder that is everywhere, and not needed any more.
const STAGE: &str = "/proc";

/// Of the root itself: bytes of names, and how many.
const ROOT: &str = "mode=755,size=1m,nr_inodes=4k";

/// Goes there. Gives where each folder was and where it is.
pub(super) fn enter(profile: &Profile) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    if !profile.namespaces.mount() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // What is mounted here from now on is nobody else's affair.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let fds = tree::take(&File::open("/proc/self/fd")?)?;
    tree::restrict(&fds, Writes::No, None)?;
    let mut trees = vec![Tree { fd: fds, at: FDS.into() }];
    let mut places = vec![];
    for (number, folder) in profile.folders.iter().enumerate() {
        let taken = match profile.handed.iter().find(|handed| handed.folder == number) {
            Some(handed) => inherit::take(handed.fd).map(|fd| Tree { fd, at: handed.at.clone() }),
            None => take(folder, number),
        };
        match taken {
            Ok(tree) => {
                places.push((folder.source.clone(), tree.at.clone()));
                trees.push(tree);
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
    let done = trees.iter().try_for_each(|tree| tree.put(Path::new(STAGE))).and_then(|()| turn());
    if done.is_err() {
        let _ = umount2(STAGE, MntFlags::MNT_DETACH);
    }
    done.map(|()| places)
}

/// It is not there; or, of what a guest was granted, this user may not go there, or a link has taken its place.
pub(super) fn is_out_of_reach(folder: &Folder, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound => true,
        io::ErrorKind::PermissionDenied => folder.at == At::Number,
        _ => folder.at == At::Number && tree::is_link(error),
    }
}

/// Makes the stage the root.
fn turn() -> io::Result<()> {
    chdir(STAGE)?;
    // See pivot_root(2): both are the same folder, and what was the root lies on top.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    tree::read_only(&File::open("/")?)
}

fn take(folder: &Folder, number: usize) -> io::Result<Tree> {
    let at = place(folder, number)?;
    let fd = tree::take(&tree::find(folder)?)?;
    tree::restrict(&fd, Writes::of(folder.writable), None)?;
    Ok(Tree { fd, at })
}

/// Where a folder of the profile belongs in the new root.
pub(super) fn place(folder: &Folder, number: usize) -> io::Result<PathBuf> {
    Ok(match folder.at {
        At::Number => Path::new(FOLDERS).join(number.to_string()),
        At::Given => folder.source.clone(),
        At::Real => folder.source.canonicalize()?,
    })
}
