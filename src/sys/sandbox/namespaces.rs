//! Namespaces that a child is cloned into. What each keeps away: see [`Part`].

use std::io;

use nix::{libc, unistd};
use serde::{Deserialize, Serialize};

use super::{Network, Part, Profile, Report, profile::is_left_out};

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

    /// For a trial: sets to try, the best first; with the last one it always starts.
    #[must_use]
    pub fn to_try() -> Vec<Self> {
        if is_left_out() {
            return vec![Self::NONE];
        }
        // Only a privileged process can be cloned into the second.
        vec![Self::ALL, Self(Self::ALL.0 & !libc::CLONE_NEWUSER), Self::NONE]
    }

    /// Those of them for a process with this network.
    #[must_use]
    pub fn with(self, network: Network) -> Self {
        match network {
            Network::Host => Self(self.0 & !libc::CLONE_NEWNET),
            Network::None => self,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_try_is_always_possible() {
        let tries = Namespaces::to_try();
        assert!(tries[0].user() && tries[0].pid() && !tries[1].user() && tries[1].pid());
        assert_eq!(tries.last(), Some(&Namespaces::NONE));
        assert_eq!(Namespaces::NONE.with(Network::Host), Namespaces::NONE);
        assert_eq!(Namespaces::ALL.with(Network::None), Namespaces::ALL);
        assert_ne!(Namespaces::ALL.with(Network::Host), Namespaces::ALL);
    }
}
