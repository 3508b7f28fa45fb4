//! What a child is to shut itself into: made by the master, for each child anew.

use std::{os::fd::RawFd, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Namespaces, Part};

/// For one child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What it does, as far as system calls go.
    pub room: Room,
    /// All that it sees of the file system.
    pub folders: Vec<Folder>,
    /// What it can reach.
    pub network: Network,
    /// Is it to run where a part can't be had?
    pub isolation: Isolation,
    /// Those that it is started in.
    pub namespaces: Namespaces,
    /// Does it accept connections by itself?
    pub listener: Listener,
    /// Parts that the trial could not have either. `None`: this is the trial, which finds out.
    pub may_lack: Option<Vec<Part>>,
    /// Whose it is to be.
    pub user: User,
    /// Whose it is.
    pub runs_as: User,
    /// The folders that the master has opened for it; `spawn` fills them in.
    pub handed: Vec<Handed>,
}

/// Where a process's connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listener {
    /// It is handed connections, or has none.
    None,
    /// It has the listener, as the master and its other workers have: `balance = "shared"`.
    Shared,
}

/// Who a process is, as the host sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum User {
    /// Who the master is.
    #[default]
    Master,
    /// A tenant's own. Only a master that is root can start one.
    Tenant {
        /// The user.
        uid: u32,
        /// The group, and no other one.
        gid: u32,
    },
}

impl User {
    /// Who to be in these namespaces, the best first. Without mounts of its own a tenant could not go to its
    /// folders.
    pub(crate) fn to_try(self, namespaces: Namespaces) -> Vec<Self> {
        match self {
            Self::Tenant { .. } if namespaces.mount() => vec![self, Self::Master],
            Self::Tenant { .. } | Self::Master => vec![Self::Master],
        }
    }
}

/// A folder of the profile that is open already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// Its number in the profile.
    pub folder: usize,
    /// Its fd in the child.
    pub fd: RawFd,
    /// Where it belongs in the new root.
    pub at: PathBuf,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Room {
    /// Runs a guest: agents and workers.
    Guest,
    /// Compiles.
    Compiler,
    /// Reads archives and keeps files.
    Storekeeper,
    /// Connects to other hosts.
    Broker,
}

/// A folder, or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// On the host, absolute. One that is not there is left out.
    pub source: PathBuf,
    /// In the new root.
    pub at: At,
    /// May it be changed?
    pub writable: bool,
}

/// A place in the new root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum At {
    /// By a number, so that not even its path is known.
    Number,
    /// Under the path as it is given.
    Given,
    /// Under its path without links.
    Real,
}

/// What can be reached. Sockets that the process was handed work in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// What the host can reach.
    Host,
    /// Nothing.
    None,
}

/// How much must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// All of it: nothing starts where a part can't be had.
    Strict,
    /// As much as the machine allows; what it does not is said once.
    #[default]
    BestEffort,
}

/// In builds for tests: as on a machine that has no part of it, for what is to be compared, and for what is
/// said then.
const LEAVE_OUT: &str = "HATCHERY_TEST_NO_SANDBOX";

pub(super) fn is_left_out() -> bool {
    cfg!(debug_assertions) && std::env::var_os(LEAVE_OUT).is_some()
}

impl Profile {
    /// Is it to start without this part? Only where nobody can have it here: that it can't be had this once may be
    /// somebody's doing.
    pub(super) fn may_lack(&self, part: Part) -> bool {
        self.may_lack.as_ref().is_none_or(|parts| parts.contains(&part))
    }

    /// This once it is the master's user, though others can have their own.
    pub(crate) fn run_as_master(&mut self) {
        self.runs_as = User::Master;
        if let Some(parts) = &mut self.may_lack {
            parts.push(Part::OwnUser);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn profile(room: Room, network: Network) -> Profile {
        let folders = vec![Folder { source: "/tmp".into(), at: At::Number, writable: true }];
        let (isolation, namespaces) = (Isolation::BestEffort, Namespaces::NONE);
        let user = User::Master;
        Profile {
            room,
            folders,
            network,
            isolation,
            namespaces,
            listener: Listener::None,
            may_lack: None,
            user,
            runs_as: user,
            handed: vec![],
        }
    }

    #[test]
    fn users_as_a_table() {
        let tenant = User::Tenant { uid: 7, gid: 8 };
        let all = Namespaces::ALL;
        for (user, namespaces, expected) in [
            (User::Master, all, vec![User::Master]),
            (tenant, all, vec![tenant, User::Master]),
            (tenant, Namespaces::to_try()[1], vec![tenant, User::Master]),
            (tenant, Namespaces::NONE, vec![User::Master]),
        ] {
            assert_eq!(user.to_try(namespaces), expected, "{user:?} {namespaces:?}");
        }
    }
}
