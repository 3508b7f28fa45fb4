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
const PROCESSES: u64 = 512;

/// The most bytes of any file that is written, the log among them.
const FILE_SIZE: u64 = 16 << 30;

/// The kernel from which on `pid_max` is the pid namespace's own. Before, it was the whole machine's.
const OWN_PID_MAX: (u32, u32) = (6, 14);

/// For a process that is the host's root as well, for which the kernel does not look at the limit.
fn bound_pids(profile: &Profile, most: u64) {
    let own = uname().ok().and_then(|name| {
        let mut numbers = name.release().to_str()?.split(['.', '-']).map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?) >= OWN_PID_MAX)
    });
    if own == Some(true) && profile.namespaces.pid() {
        // Where `/proc/sys` can't be written to, the other limits remain.
        let _ = fs::write("/proc/sys/kernel/pid_max", most.to_string());
    }
}

/// Gives what they are.
pub(super) fn set(profile: &Profile) -> io::Result<Limits> {
    let both = |resource, value| setrlimit(resource, value, value);
    both(Resource::RLIMIT_CORE, 0)?;
    both(Resource::RLIMIT_MEMLOCK, 0)?;
    let size = FILE_SIZE.min(getrlimit(Resource::RLIMIT_FSIZE)?.1);
    both(Resource::RLIMIT_FSIZE, size)?;
    // Who passes it hears so, as an error; by default the process would end.
    // SAFETY: a signal that is ignored runs nothing.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    both(Resource::RLIMIT_NOFILE, files)?;
    // Else it counts what the same user has elsewhere.
    let processes = profile.namespaces.user().then_some(PROCESSES);
    if let Some(most) = processes {
        both(Resource::RLIMIT_NPROC, most.min(getrlimit(Resource::RLIMIT_NPROC)?.1))?;
        bound_pids(profile, most);
    }
    Ok(Limits { files, processes, file_size: size })
}
