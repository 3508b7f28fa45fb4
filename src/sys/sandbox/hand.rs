//! The master's part of a child's folders, where the child is another user: it opens them, so that the child
//! needs not be able to go there, and their owner is the child's user in what it is handed.
//!
//! `spawn` calls it on its thread. Needs the right to mount in the first user namespace; who has only that of a
//! container hears EPERM.

use std::{
    fmt, io,
    os::{
        fd::{AsFd as _, OwnedFd, RawFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
};

use super::{
    Folder, Handed, Profile, Room,
    idmap::{Map, namespace},
    mounts::{is_out_of_reach, place},
    tree::{self, Writes},
};
use crate::sys::inherit::{FIRST_FOLDER_FD, MAX_FOLDER_FDS};

/// What goes with a child.
pub(in super::super) struct Opened {
    pub(in super::super) fds: Vec<(OwnedFd, RawFd)>,
    pub(in super::super) handed: Vec<Handed>,
}

/// A folder that its user could not use.
#[derive(Debug)]
pub(in super::super) struct Refused {
    folder: PathBuf,
    uid: u32,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// It can't be opened, or there is a link on the way.
    Open(io::Error),
    /// It is somebody else's, and that can't be made otherwise.
    Owner(u32, io::Error),
    TooMany,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, uid) = (self.folder.display(), self.uid);
        match &self.why {
            Why::Open(error) if tree::is_link(error) => write!(
                f,
                "cannot give {folder} to the app's user {uid}: a link has taken its place; deploy or start the app \
                 again"
            ),
            Why::Open(error) => write!(f, "cannot give {folder} to the app's user {uid}: {error}"),
            Why::Owner(owner, error) => write!(
                f,
                "cannot give {folder}, which is user {owner}'s, to the app's user {uid}: its file system, or what \
                 hatchery may do here, has no mapped owners ({error}); chown it to {uid}, or pin the app to uid \
                 {owner} by [[tenant]] in settings.toml where that is not root"
            ),
            Why::TooMany => {
                write!(f, "cannot give {folder} to the app's user {uid}: more than {MAX_FOLDER_FDS} folders")
            }
        }
    }
}

impl Refused {
    /// May the process run as the master's user instead? Not where a link would lead that one astray.
    pub(in super::super) fn leaves_a_way(&self) -> bool {
        matches!(self.why, Why::Owner(..))
    }
}

/// Where it may not run otherwise.
impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        let otherwise = match refused.why {
            Why::Owner(..) => {
                "; or set isolation = \"best-effort\", under which it runs as the master's user then"
            }
            Why::Open(_) | Why::TooMany => "",
        };
        Self::other(format!("{refused}{otherwise}"))
    }
}

/// Opens what a child of this user is to see. What is not there is left out: whoever opens it hears so.
pub(in super::super) fn open(profile: &Profile, user: (u32, u32)) -> Result<Opened, Refused> {
    let mut opened = Opened { fds: vec![], handed: vec![] };
    // What a resolver reads is everybody's.
    if profile.room == Room::Broker {
        return Ok(opened);
    }
    for (number, folder) in profile.folders.iter().enumerate() {
        let refused = |why| Refused { folder: folder.source.clone(), uid: user.0, why };
        let fd = match number {
            0..MAX_FOLDER_FDS => FIRST_FOLDER_FD + number as RawFd,
            _ => return Err(refused(Why::TooMany)),
        };
        match tree_of(folder, user) {
            Ok(tree) => {
                let at = place(folder, number).map_err(|error| refused(Why::Open(error)))?;
                opened.fds.push((tree, fd));
                opened.handed.push(Handed { folder: number, fd, at });
            }
            Err(Why::Open(error)) if is_out_of_reach(folder, &error) && !tree::is_link(&error) => {}
            Err(why) => return Err(refused(why)),
        }
    }
    Ok(opened)
}

fn tree_of(folder: &Folder, user: (u32, u32)) -> Result<OwnedFd, Why> {
    let found = tree::find(folder).map_err(Why::Open)?;
    let owner = found.metadata().map_err(Why::Open)?;
    let (from, writes) = ((owner.uid(), owner.gid()), Writes::of(folder.writable));
    let fail = |error| Why::Owner(from.0, error);
    let tree = tree::take(&found).map_err(fail)?;
    if from.0 == user.0 {
        tree::restrict(&tree, writes, None).map_err(fail)?;
    } else {
        let owners = namespace(Map { from, to: user }).map_err(fail)?;
        tree::restrict(&tree, writes, Some(owners.as_fd())).map_err(fail)?;
    }
    Ok(tree)
}
