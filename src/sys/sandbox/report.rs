//! What holds in a child, and what does not: from the child to the master, and to `hatchery status`.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// The most parts that a report may name.
pub const MAX_PARTS: usize = 16;

/// One part of the sandbox, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What it may do to other parts ends here, and the others need no root.
    UserNamespace,
    /// Mounts of its own, for the empty root.
    MountNamespace,
    /// It sees no other process, and can send no signal.
    PidNamespace,
    /// No interface, no route, no abstract socket of others.
    NetNamespace,
    /// No shared memory or queues of others.
    IpcNamespace,
    /// Not the host's name.
    UtsNamespace,
    /// Not the host's cgroups.
    CgroupNamespace,
    /// Nothing is there but what was granted.
    EmptyRoot,
    /// No program gives it rights.
    NoNewPrivileges,
    /// The same as the empty root, and no ports, kept by another part of the kernel.
    Landlock,
    /// Root's rights, each.
    NoCapabilities,
    /// No process of the same user can look into its memory, and it leaves no core.
    NotDumpable,
    /// A list of system calls.
    Seccomp,
    /// Files, processes, sizes.
    ResourceLimits,
    /// A user id that no other tenant has, where the master is root.
    OwnUser,
}

impl Part {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserNamespace => "user namespace",
            Self::MountNamespace => "mount namespace",
            Self::PidNamespace => "pid namespace",
            Self::NetNamespace => "net namespace",
            Self::IpcNamespace => "ipc namespace",
            Self::UtsNamespace => "uts namespace",
            Self::CgroupNamespace => "cgroup namespace",
            Self::EmptyRoot => "empty root",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Landlock => "landlock",
            Self::NoCapabilities => "no capabilities",
            Self::NotDumpable => "not dumpable",
            Self::Seccomp => "seccomp",
            Self::ResourceLimits => "resource limits",
            Self::OwnUser => "own user",
        }
    }

    /// What who runs the machine can do about its absence.
    fn advice(self) -> &'static str {
        match self {
            Self::UserNamespace
            | Self::MountNamespace
            | Self::PidNamespace
            | Self::NetNamespace
            | Self::IpcNamespace
            | Self::UtsNamespace
            | Self::CgroupNamespace
            | Self::EmptyRoot => {
                "allow user namespaces: the sysctls user.max_user_namespaces, \
                 kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns, or the \
                 container's own filter"
            }
            Self::Landlock => "use a kernel of 5.13 or later with landlock in its lsm= list",
            Self::Seccomp => "use a kernel with CONFIG_SECCOMP_FILTER",
            Self::NoNewPrivileges | Self::NoCapabilities | Self::NotDumpable | Self::ResourceLimits => {
                "see what restricts hatchery itself"
            }
            Self::OwnUser => {
                "run hatchery as root of the machine, from a file that all may run, or set [tenants] uids in \
                 settings.toml to user ids that its container maps"
            }
        }
    }
}

/// A part that can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub part: Part,
    /// The system's error number; 0 where there is none.
    pub errno: i32,
}

/// The limits of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Open files.
    pub files: u64,
    /// Threads and processes. `None`: as many as its user may have; for root that is as many as there can be.
    pub processes: Option<u64>,
    /// Bytes of a file.
    pub file_size: u64,
}

/// Of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What holds.
    pub in_force: Vec<Part>,
    /// What was wanted and does not.
    pub missing: Vec<Missing>,
    /// Landlock's version here; 0 without.
    pub landlock_abi: u32,
    /// What it may take.
    pub limits: Limits,
}

impl Report {
    pub(super) fn note(&mut self, part: Part, done: io::Result<()>) {
        match done {
            Ok(()) => self.in_force.push(part),
            Err(error) => {
                self.missing.push(Missing { part, errno: error.raw_os_error().unwrap_or_default() });
            }
        }
    }

    /// A child's own can't be trusted to be as short as it should.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.in_force.len() <= MAX_PARTS && self.missing.len() <= MAX_PARTS
    }

    /// In one line, `None` where nothing is missing.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| list(&self.missing))
    }
}

/// Each by its name and why, with what to do; the same advice once.
pub(super) fn list(missing: &[Missing]) -> String {
    let mut advice: Vec<&str> = vec![];
    for one in missing {
        if !advice.contains(&one.part.advice()) {
            advice.push(one.part.advice());
        }
    }
    format!("{}; {}", names(missing), advice.join("; "))
}

/// Each by its name and why.
pub(super) fn names(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            0 => write!(f, "no {}", self.part.name()),
            errno => write!(f, "no {} ({})", self.part.name(), io::Error::from_raw_os_error(errno)),
        }
    }
}
