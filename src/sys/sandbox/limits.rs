//! Resource limits, hard as soft: what is set here can't be raised again. What a role may have of memory
//! and CPU time it caps by itself, since that depends on what it is told.

use std::{fs, io};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::{SigHandler, Signal, signal},
    utsname::uname,
};

use super::{Profile, report::Limits};

/// Threads of a process: more than the runtime's for the file system, and a compiler's. Since Linux 5.14 they are
/// counted by user namespace, which each process has its own of, however many are the same user on the host; before,
/// all processes of an app's user together may have so many.
pub const PROCESSES: u64 = 512;

/// The most bytes of the first thread's stack.
const STACK: u64 = 64 << 20;

/// The most bytes of any file that is written, the log among them.
const FILE_SIZE: u64 = 16 << 30;

/// The kernel from which on `pid_max` is the pid namespace's own. Before, it was the whole machine's.
const OWN_PID_MAX: (u32, u32) = (6, 14);

/// Bounds the pids of its namespace, by which also a process is held that is the host's root, for whom the
/// kernel does not look at the limit of processes. True where that was possible.
fn bound_pids(profile: &Profile, most: u64) -> bool {
    let own = uname().ok().and_then(|name| {
        let mut numbers = name.release().to_str()?.split(['.', '-']).map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?) >= OWN_PID_MAX)
    });
    own == Some(true)
        && profile.namespaces.pid()
        && fs::write("/proc/sys/kernel/pid_max", most.to_string()).is_ok()
}

/// Is this process the host's root outside of its user namespace? Where that is one in another it can't be
/// known, and may be so.
fn is_hosts_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(1).is_none_or(|outside| outside == "0")
}

/// Gives what they are.
pub(super) fn set(profile: &Profile) -> io::Result<Limits> {
    let both = |resource, value| setrlimit(resource, value, value);
    both(Resource::RLIMIT_CORE, 0)?;
    both(Resource::RLIMIT_MEMLOCK, 0)?;
    // What it counts is not counted elsewhere.
    both(Resource::RLIMIT_STACK, getrlimit(Resource::RLIMIT_STACK)?.0.min(STACK))?;
    let size = FILE_SIZE.min(getrlimit(Resource::RLIMIT_FSIZE)?.1);
    both(Resource::RLIMIT_FSIZE, size)?;
    // Who passes it hears so, as an error; by default the process would end.
    // SAFETY: a signal that is ignored runs nothing.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    // Of a user's fds that are under way the kernel counts all, and holds them against the limit of who
    // sends the next. So a process that leaves its own unread stops itself and its like, and never the
    // master, whose limit this one is.
    let files = getrlimit(Resource::RLIMIT_NOFILE)?.1 / 2;
    both(Resource::RLIMIT_NOFILE, files)?;
    // Else it counts what the same user has elsewhere.
    let mut processes = None;
    if profile.namespaces.user() {
        both(Resource::RLIMIT_NPROC, PROCESSES.min(getrlimit(Resource::RLIMIT_NPROC)?.1))?;
        let holds = bound_pids(profile, PROCESSES) || !is_hosts_root();
        processes = holds.then_some(PROCESSES);
    }
    Ok(Limits { files, processes, file_size: size })
}
