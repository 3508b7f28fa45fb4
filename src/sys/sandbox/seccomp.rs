//! The system calls that a role may make. Three filters, of which the strictest word counts:
//!
//! ```text
//!   worst:   the process is killed     what only an attack asks for
//!   opaque:  ENOSYS to clone3          the C library then uses clone, whose flags can be looked at; for
//!                   and openat2        modes of files openat
//!   list:    EPERM to all not on it    which also hits what a newer library tries before it goes on
//! ```
//!
//! A call that is always allowed costs next to nothing: the kernel keeps such answers, and runs no filter.
//! Those whose arguments are looked at are seldom made.

mod arguments;
mod calls;

use std::{collections::BTreeMap, io};

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use self::{
    arguments::{all_of, is, lacks, number, one_of},
    calls::{
        CLIENTS, COMPILERS, EVERYONE, EVERYONE_OLD, FCNTL, IOCTL, MODES, MODES_OLD, NAMESPACES, PRCTL,
        STOREKEEPERS, WORST, WRITERS, WRITERS_OLD,
    },
};
use super::{Listener, Network, Profile, Room};

/// By number; no rule at all means whatever the arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// From here on, for all threads to come.
pub(super) fn install(profile: &Profile) -> io::Result<()> {
    let list = allowed(profile).map_err(io::Error::other)?;
    let worst = worst().map_err(io::Error::other)?;
    let mut opaque = Rules::from([(libc::SYS_clone3, vec![])]);
    if writes(profile) {
        opaque.insert(libc::SYS_openat2, vec![]);
    }
    let kill = SeccompAction::KillProcess;
    let errno = |errno: libc::c_int| SeccompAction::Errno(errno.unsigned_abs());
    for (rules, otherwise, then) in [
        (worst, SeccompAction::Allow, kill),
        (opaque, SeccompAction::Allow, errno(libc::ENOSYS)),
        (list, errno(libc::EPERM), SeccompAction::Allow),
    ] {
        let filter = SeccompFilter::new(rules, otherwise, then, ARCH).map_err(io::Error::other)?;
        let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
        apply_filter(&program).map_err(|error| match error {
            seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error) => error,
            other => io::Error::other(other),
        })?;
    }
    Ok(())
}

type Built = Result<Rules, BackendError>;

fn worst() -> Built {
    let mut rules: Rules = WORST.iter().map(|call| (*call, vec![])).collect();
    let namespaces = NAMESPACES
        .map(|flag| SeccompRule::new(vec![all_of(0, number(flag))?]))
        .into_iter()
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, namespaces);
    Ok(rules)
}

fn allowed(profile: &Profile) -> Built {
    let mut lists = vec![EVERYONE, EVERYONE_OLD];
    if writes(profile) {
        lists.extend([WRITERS, WRITERS_OLD]);
    }
    match profile.room {
        // What a guest's process needs beyond it is below, what a broker needs comes with the network.
        Room::Guest | Room::Broker => {}
        Room::Compiler => lists.push(COMPILERS),
        Room::Storekeeper => lists.push(STOREKEEPERS),
    }
    if profile.network == Network::Host {
        lists.push(CLIENTS);
    }
    let mut rules: Rules = lists.concat().into_iter().map(|call| (call, vec![])).collect();
    // The filter before this one says what it gets.
    rules.insert(libc::SYS_clone3, vec![]);
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![all_of(0, number(libc::CLONE_THREAD))?])?]);
    rules.insert(libc::SYS_mmap, counted()?);
    listener(profile, &mut rules)?;
    if writes(profile) {
        // The mount's nosuid holds in here, not on the host, where the file is the master's user's.
        for (call, argument) in MODES.iter().chain(MODES_OLD) {
            let bits = libc::c_ulong::from(libc::S_ISUID | libc::S_ISGID);
            rules.insert(*call, vec![SeccompRule::new(vec![lacks(*argument, bits)?])?]);
        }
    }
    let mut prctl = one_of(0, PRCTL.map(number))?;
    let kill = [is(0, number(libc::PR_SET_PDEATHSIG))?, is(1, number(libc::SIGKILL))?];
    prctl.push(SeccompRule::new(kill.to_vec())?);
    rules.insert(libc::SYS_prctl, prctl);
    // Its own, and downwards: the hard limits are set.
    rules.insert(libc::SYS_prlimit64, one_of(0, [0])?);
    if matches!(profile.room, Room::Guest | Room::Broker) {
        // `cpu-weight`: its own, and downwards.
        let own = || SeccompRule::new(vec![is(0, number(libc::PRIO_PROCESS as libc::c_int))?, is(1, 0)?]);
        rules.insert(libc::SYS_setpriority, vec![own()?]);
        rules.insert(libc::SYS_getpriority, vec![own()?]);
    }
    // abort() of this process, and no signal to another.
    let own = libc::c_ulong::from(std::process::id());
    rules.insert(libc::SYS_tgkill, one_of(0, [own])?);
    // The runtime has one for signals.
    rules.insert(libc::SYS_socketpair, one_of(0, [number(libc::AF_UNIX)])?);
    if profile.network == Network::Host {
        rules.insert(libc::SYS_socket, one_of(0, [libc::AF_INET, libc::AF_INET6].map(number))?);
    }
    Ok(rules)
}

/// Memory that RLIMIT_DATA counts, and files: what is shared and of no file, or grows like a stack, it leaves
/// out.
fn counted() -> Result<Vec<SeccompRule>, BackendError> {
    let either = [libc::MAP_ANONYMOUS, libc::MAP_SHARED];
    either
        .map(|bits| SeccompRule::new(vec![lacks(3, number(bits | libc::MAP_GROWSDOWN))?]))
        .into_iter()
        .collect()
}

/// Has it a folder to write to?
fn writes(profile: &Profile) -> bool {
    profile.folders.iter().any(|folder| folder.writable)
}

/// What may be done to a socket, and what may not where the process has a listener that others have too.
fn listener(profile: &Profile, rules: &mut Rules) -> Result<(), BackendError> {
    let (mut fcntl, mut ioctl) = (one_of(1, FCNTL.map(number))?, one_of(1, IOCTL)?);
    let mut set_flags = vec![is(1, number(libc::F_SETFL))?];
    match profile.listener {
        Listener::None => ioctl.extend(one_of(1, [libc::FIONBIO])?),
        Listener::Shared => {
            // It is of the host's network: made a socket again, it could be connected to anywhere, and no
            // other call connects one.
            let fast_open = number(libc::MSG_FASTOPEN);
            rules.insert(libc::SYS_sendto, vec![SeccompRule::new(vec![lacks(3, fast_open)?])?]);
            rules.insert(libc::SYS_sendmsg, vec![SeccompRule::new(vec![lacks(2, fast_open)?])?]);
            // The flag is the listener's, not the fd's: another generation's may be the master's to accept
            // on, which then would wait.
            set_flags.push(all_of(2, number(libc::O_NONBLOCK))?);
        }
    }
    fcntl.push(SeccompRule::new(set_flags)?);
    rules.insert(libc::SYS_fcntl, fcntl);
    rules.insert(libc::SYS_ioctl, ioctl);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_worst_is_allowed() {
        for room in [Room::Guest, Room::Compiler, Room::Storekeeper, Room::Broker] {
            for network in [Network::Host, Network::None] {
                let profile = super::super::profile::tests::profile(room, network);
                let allowed = allowed(&profile).unwrap();
                for call in WORST {
                    assert!(!allowed.contains_key(call), "{room:?} {call}");
                }
                assert_eq!(allowed.contains_key(&libc::SYS_socket), network == Network::Host);
            }
        }
    }
}
