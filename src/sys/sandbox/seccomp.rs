//! The system calls that a role may make. Three filters, of which the strictest word counts:
//!
//! ```text
//!   worst:   the process is killed     what only an attack asks for
//!   threads: ENOSYS to clone3          the C library then uses clone, whose flags can be looked at
//!   list:    EPERM to all not on it    which also hits what a newer library tries before it goes on
//! ```
//!
//! A call that is always allowed costs next to nothing: the kernel keeps such answers, and runs no filter.
//! Those whose arguments are looked at are seldom made.

use std::{collections::BTreeMap, io};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::{Network, Profile, Room};

/// By number; no rule at all means whatever the arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// Memory, threads, time, events, and reading and writing what is open.
const EVERYONE: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    // What is there to be found is another part's affair.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
];

/// The same under old names, where the machine has them.
#[cfg(target_arch = "x86_64")]
const EVERYONE_OLD: &[i64] = &[
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_pipe,
    libc::SYS_dup2,
    libc::SYS_accept,
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const EVERYONE_OLD: &[i64] = &[libc::SYS_accept];

/// For those that have something to write to.
const WRITERS: &[i64] = &[
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_utimensat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
];

#[cfg(target_arch = "x86_64")]
const WRITERS_OLD: &[i64] = &[
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
];
#[cfg(not(target_arch = "x86_64"))]
const WRITERS_OLD: &[i64] = &[];

/// For a compiler, which makes native code in sealed memory.
const COMPILERS: &[i64] = &[libc::SYS_memfd_create, libc::SYS_setpriority, libc::SYS_getpriority];

/// For a storekeeper.
const STOREKEEPERS: &[i64] =
    &[libc::SYS_flock, libc::SYS_syncfs, libc::SYS_umask, libc::SYS_setpriority, libc::SYS_getpriority];

/// For those that have the network.
const CLIENTS: &[i64] = &[libc::SYS_connect, libc::SYS_bind, libc::SYS_sendmmsg, libc::SYS_recvmmsg];

/// What nothing of ours ever calls. Who does is not to have another try.
const WORST: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_by_handle_at,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// New namespaces, one flag each.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// What may be asked of an fd. Not: signals for it, leases, notes.
const FCNTL: [libc::c_int; 8] = [
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GET_SEALS,
    libc::F_ADD_SEALS,
];

/// Non-blocking, how much waits, close-on-exec, is it a terminal?
const IOCTL: [libc::c_ulong; 4] = [libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX, libc::TCGETS];

/// Names of threads and of memory, and what can only be asked.
const PRCTL: [libc::c_int; 5] = [
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_SET_VMA,
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NO_NEW_PRIVS,
];

/// From here on, for all threads to come.
pub(super) fn install(profile: &Profile) -> io::Result<()> {
    let list = allowed(profile).map_err(io::Error::other)?;
    let (worst, threads) = (worst().map_err(io::Error::other)?, BTreeMap::from([(libc::SYS_clone3, vec![])]));
    let kill = SeccompAction::KillProcess;
    let errno = |errno: libc::c_int| SeccompAction::Errno(errno.unsigned_abs());
    for (rules, otherwise, then) in [
        (worst, SeccompAction::Allow, kill),
        (threads, SeccompAction::Allow, errno(libc::ENOSYS)),
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

type Built = Result<Rules, seccompiler::BackendError>;

fn worst() -> Built {
    let mut rules: Rules = WORST.iter().map(|call| (*call, vec![])).collect();
    let namespaces =
        NAMESPACES.map(|flag| SeccompRule::new(vec![flags(flag)?])).into_iter().collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, namespaces);
    Ok(rules)
}

fn allowed(profile: &Profile) -> Built {
    let mut lists = vec![EVERYONE, EVERYONE_OLD];
    if profile.folders.iter().any(|folder| folder.writable) {
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
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![flags(libc::CLONE_THREAD)?])?]);
    rules.insert(libc::SYS_fcntl, one_of(1, FCNTL.map(number))?);
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTL)?);
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

fn number(value: libc::c_int) -> libc::c_ulong {
    libc::c_ulong::try_from(value).unwrap_or_default()
}

/// The argument has exactly one of these values.
fn one_of<const N: usize>(
    argument: u8,
    values: [libc::c_ulong; N],
) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    values.into_iter().map(|value| SeccompRule::new(vec![is(argument, value)?])).collect()
}

/// As the kernel looks at it, which is an int for all of these.
fn is(argument: u8, value: libc::c_ulong) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// All of these flags are in the first argument.
fn flags(flags: libc::c_int) -> Result<SeccompCondition, seccompiler::BackendError> {
    let flags = number(flags);
    SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flags), flags)
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
