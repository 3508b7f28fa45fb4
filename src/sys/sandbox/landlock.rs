//! The same rules as the empty root's, kept by another part of the kernel; also no ports, no abstract
//! sockets, no signals to others. As much of it as the kernel knows.

use std::{
    io,
    path::{Path, PathBuf},
};

use ::landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::libc;

use super::{Network, Profile};

/// The newest that is known here.
const NEWEST: ABI = ABI::V7;

/// Gives the kernel's version of it.
pub(super) fn restrict(profile: &Profile, places: &[(PathBuf, PathBuf)]) -> io::Result<u32> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::BindTcp))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .map_err(io::Error::other)?;
    if profile.network == Network::None {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp).map_err(io::Error::other)?;
    }
    let mut created = ruleset.create().map_err(io::Error::other)?;
    for folder in &profile.folders {
        let moved = places.iter().find(|(from, _)| *from == folder.source).map(|(_, to)| to.as_path());
        let path: &Path = moved.unwrap_or(&folder.source);
        // One that is not there needs no rule.
        let Ok(fd) = PathFd::new(path) else { continue };
        let rights = rights(folder.writable);
        let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(NEWEST) };
        created = created.add_rule(PathBeneath::new(fd, rights)).map_err(io::Error::other)?;
    }
    let status = created.restrict_self().map_err(io::Error::other)?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            Ok(effective_abi as u32)
        }
        _ => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
    }
}

/// Never to run a program, make a device or a socket, or talk to a device.
fn rights(writable: bool) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    if writable { read | write } else { read }
}
