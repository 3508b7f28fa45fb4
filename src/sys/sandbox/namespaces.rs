//! Namespaces that a child is cloned into. What each keeps away: see [`Part`].

use std::io;

use nix::{libc, unistd};
use serde::{Deserialize, Serialize};

use super::{Network, Part, Profile, Report};

/// A set of them, as flags of clone(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces(i32);

/// Each with its part.
const EACH: [(i32, Part); 7] = [
    (libc::CLONE_NEWUSER, Part::UserNamespace),
    (libc::CLONE_NEWNS, Part::MountNamespace),
    (libc::CLONE_NEWPID, Part::PidNamespace),
    (libc::CLONE_NEWNET, Part::NetNamespace),
    (libc::CLONE_NEWIPC, Part::IpcNamespace),
    (libc::CLONE_NEWUTS, Part::UtsNamespace),
    (libc::CLONE_NEWCGROUP, Part::CgroupNamespace),
];

impl Namespaces {
    /// The parent's.
    pub const NONE: Self = Self(0);

    /// New ones of each kind.
    pub const ALL: Self = Self(
        libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP,
    );

    pub(super) fn without_net_if(self, keeps_net: bool) -> Self {
        if keeps_net { Self(self.0 & !libc::CLONE_NEWNET) } else { self }
    }

    /// Only a privileged process can be cloned into these.
    pub(super) fn without_user(self) -> Self {
        Self(self.0 & !libc::CLONE_NEWUSER)
    }

    pub(crate) fn flags(self) -> i32 {
        self.0
    }

    pub(crate) fn user(self) -> bool {
        self.0 & libc::CLONE_NEWUSER != 0
    }

    pub(crate) fn pid(self) -> bool {
        self.0 & libc::CLONE_NEWPID != 0
    }

    pub(super) fn mount(self) -> bool {
        self.0 & libc::CLONE_NEWNS != 0
    }
}

/// Says which there are, and takes the host's name away.
pub(super) fn note(profile: &Profile, report: &mut Report) {
    for (flag, part) in EACH {
        let given = profile.namespaces.0 & flag != 0;
        let wanted = part != Part::NetNamespace || profile.network == Network::None;
        if given || wanted {
            let refused = || io::Error::from_raw_os_error(libc::EPERM);
            report.note(part, given.then_some(()).ok_or_else(refused));
        }
    }
    if profile.namespaces.0 & libc::CLONE_NEWUTS != 0 {
        // Where that fails, an escaped guest learns the host's name.
        let _ = unistd::sethostname("hatchery");
    }
}
