//! The moments between a new process and its program.
//!
//! [`super::spawn`] calls it on its thread. The process begins as a copy of this one with one thread, in
//! which another may have held a lock: until its execve it makes system calls on what was prepared
//! before, and nothing else. The two ends of a socket pair go with it:
//!
//! ```text
//!   parent                                child
//!     |   clone, in new namespaces          |
//!     |   maps of user and group            |  waits
//!     | ------------- a byte -------------> |
//!     |                                     |  fds, signals, group; execve closes its end
//!     | <--- nothing, or what went wrong -- |
//! ```
//!
//! `clone` rather than `clone3`: it takes all the flags that are needed here, and containers often
//! answer the latter with ENOSYS, since their filters can't look at its flags.

use std::{
    convert::Infallible,
    ffi::{CString, OsString, c_char, c_int},
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::{ffi::OsStringExt as _, net::UnixStream},
    },
    ptr,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc, unistd,
};

use super::{
    process::reap,
    sandbox::{Namespaces, User},
};

/// What the child exits with when its parent goes before its program begins, or that can't begin.
const EXIT_NO_PROGRAM: c_int = 127;

/// Signals there are.
const LAST_SIGNAL: c_int = 64;

/// All that the child needs, made before it is there.
pub(super) struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// Above all numbers that they are to get, so that none is overwritten before its turn.
    fds: Vec<(OwnedFd, RawFd)>,
    null: OwnedFd,
}

/// A process whose program runs.
pub(super) struct Started {
    pub(super) id: u32,
    pub(super) pidfd: OwnedFd,
}

/// Who the child is outside of its user namespace. Inside it is root, until it gives that up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: u32,
    pub(super) group: u32,
    /// May other groups be given up? Else the child keeps them, and can't change them.
    pub(super) privileged: bool,
}

impl Identity {
    /// As the child is to be. Only root can have it be a tenant.
    pub(super) fn of(user: User) -> Self {
        match user {
            User::Master => Self::own(),
            User::Tenant { uid, gid } => Self { user: uid, group: gid, privileged: true },
        }
    }

    /// This process's own.
    fn own() -> Self {
        let (user, group) = (unistd::geteuid(), unistd::getegid());
        Self { user: user.as_raw(), group: group.as_raw(), privileged: user.is_root() }
    }
}

/// Where it went wrong, for the error.
const STEPS: [&str; 5] = ["user", "group of processes", "fds", "signals", "execve"];

impl Program {
    pub(super) fn new(
        arguments: Vec<OsString>,
        environment: Vec<OsString>,
        fds: Vec<(OwnedFd, RawFd)>,
    ) -> io::Result<Self> {
        let numbers = fds.iter().map(|(_, number)| *number);
        let mut sorted: Vec<RawFd> = numbers.collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "two fds are to get one number"));
        }
        let above = sorted.last().copied().unwrap_or_default().max(libc::STDERR_FILENO) + 1;
        let fds = fds.into_iter().map(|(fd, number)| Ok((lift(&fd, above)?, number)));
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let strings = |strings: Vec<OsString>| -> io::Result<Vec<CString>> {
            strings.into_iter().map(|string| Ok(CString::new(string.into_vec())?)).collect()
        };
        Ok(Self {
            arguments: strings(arguments)?,
            environment: strings(environment)?,
            fds: fds.collect::<io::Result<_>>()?,
            null: lift(&null.into(), above)?,
        })
    }

    /// Starts it; it runs when this returns.
    pub(super) fn start(&self, namespaces: Namespaces, identity: Identity) -> io::Result<Started> {
        let (ours, theirs) = UnixStream::pair()?;
        let above = self.fds.iter().map(|(fd, _)| fd.as_raw_fd()).max().unwrap_or(libc::STDERR_FILENO) + 1;
        let theirs = lift(&theirs.into(), above)?;
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        let moment = Moment {
            ours: ours.as_raw_fd(),
            theirs: theirs.as_raw_fd(),
            user: namespaces.user(),
            arguments: &arguments,
            environment: &environment,
            program: self,
        };
        let (id, pidfd) = moment.split(namespaces)?;
        drop(theirs);
        let started = Started { id, pidfd };
        match let_go(&ours, id, namespaces.user().then_some(identity)) {
            Ok(()) => Ok(started),
            Err(error) => {
                // It ends by itself: its end of the pair says that nobody is there.
                drop(ours);
                while reap(started.pidfd.as_fd())?.is_none() {
                    std::thread::yield_now();
                }
                Err(error)
            }
        }
    }
}

/// Makes it what it is to be, lets it go on, and waits until its program runs.
fn let_go(mut ours: &UnixStream, id: u32, identity: Option<Identity>) -> io::Result<()> {
    if let Some(Identity { user, group, privileged }) = identity {
        let write = |name: &str, text: String| fs::write(format!("/proc/{id}/{name}"), text);
        if !privileged {
            write("setgroups", "deny".to_owned())?;
        }
        write("gid_map", format!("0 {group} 1"))?;
        write("uid_map", format!("0 {user} 1"))?;
    }
    ours.write_all(&[0])?;
    let mut wrong = [0; 5];
    match ours.read(&mut wrong)? {
        0 => Ok(()),
        _ => {
            let [step, error @ ..] = wrong;
            let step = STEPS.get(usize::from(step)).copied().unwrap_or("?");
            let error = io::Error::from_raw_os_error(i32::from_ne_bytes(error));
            Err(io::Error::new(error.kind(), format!("{error} ({step})")))
        }
    }
}

fn lift(fd: &OwnedFd, above: RawFd) -> io::Result<OwnedFd> {
    let fd = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(above))?;
    // SAFETY: the call has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A copy of this process, in new namespaces, in which `child` runs: it has one thread, and may do what is
/// async-signal-safe. Signals wait meanwhile: a handler of this process's must not run in the other, which shares
/// its fds' files. Gives its pid; with CLONE_PIDFD, `pidfd` is set.
pub(super) fn fork(flags: c_int, pidfd: *mut c_int, child: impl FnOnce() -> Infallible) -> io::Result<u32> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written, not read.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the first set was just filled, the second is written.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let (stack, none): (*const (), libc::c_long) = (ptr::null(), 0);
    // SAFETY: without CLONE_VM this is fork: the child has a copy of all memory and goes on with its
    // copy of this stack. Where the pidfd goes is the third argument on all machines, and with this
    // flag that is all it is.
    let id = unsafe { libc::syscall(libc::SYS_clone, flags, stack, pidfd, none, none) };
    if id == 0 {
        child();
    }
    let error = io::Error::last_os_error();
    // SAFETY: the set was filled in by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    u32::try_from(id).map_err(|_| error)
}

/// What is needed in the moment itself: numbers and pointers.
struct Moment<'a> {
    ours: RawFd,
    theirs: RawFd,
    user: bool,
    arguments: &'a [*const c_char],
    environment: &'a [*const c_char],
    program: &'a Program,
}

impl Moment<'_> {
    /// Here one becomes two.
    fn split(&self, namespaces: Namespaces) -> io::Result<(u32, OwnedFd)> {
        let mut pidfd: c_int = -1;
        let flags = namespaces.flags() | libc::CLONE_PIDFD;
        // SAFETY: the child has nothing but this to do.
        let id = fork(flags, &raw mut pidfd, || unsafe { self.become_program() })?;
        // SAFETY: the kernel has just made it, and nobody else knows it.
        Ok((id, unsafe { OwnedFd::from_raw_fd(pidfd) }))
    }

    /// # Safety
    /// Only in a process that was just forked. Calls what is async-signal-safe, and nothing else.
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one reason holds for all: see above it")]
    unsafe fn become_program(&self) -> ! {
        // SAFETY: all calls are system calls or as good, all pointers are to what `Program` and `start`
        // hold, which this process has a copy of.
        unsafe {
            // A parent that is gone can't start anything. Set before it is known that it is still there.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::close(self.ours);
            let mut byte = [0u8];
            if libc::read(self.theirs, byte.as_mut_ptr().cast(), 1) != 1 {
                libc::_exit(EXIT_NO_PROGRAM);
            }
            if self.user {
                // As system calls: the library's functions would tell threads that are not there. Where
                // groups can't be given up, that was denied for good.
                libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>());
                if libc::syscall(libc::SYS_setresgid, 0, 0, 0) != 0
                    || libc::syscall(libc::SYS_setresuid, 0, 0, 0) != 0
                {
                    self.fail(0);
                }
                // Another user has none. And the parent may have gone meanwhile.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let mut parent = libc::pollfd { fd: self.theirs, events: 0, revents: 0 };
                if libc::poll(&raw mut parent, 1, 0) > 0 {
                    libc::_exit(EXIT_NO_PROGRAM);
                }
            }
            if libc::setpgid(0, 0) != 0 {
                self.fail(1);
            }
            // What others left open is closed too. Older kernels can't, and then what is ours is closed.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            let null = self.program.null.as_raw_fd();
            if libc::dup2(null, libc::STDIN_FILENO) < 0 || libc::dup2(null, libc::STDOUT_FILENO) < 0 {
                self.fail(2);
            }
            for (fd, number) in &self.program.fds {
                if libc::dup2(fd.as_raw_fd(), *number) < 0 {
                    self.fail(2);
                }
            }
            // Also SIGPIPE, which this process ignores.
            for signal in 1..=LAST_SIGNAL {
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            if libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) != 0 {
                self.fail(3);
            }
            libc::execve(c"/proc/self/exe".as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr());
            self.fail(4);
        }
    }

    /// # Safety
    /// As above.
    #[expect(clippy::multiple_unsafe_ops_per_block, reason = "one reason holds for all: see above it")]
    unsafe fn fail(&self, step: u8) -> ! {
        // SAFETY: as above.
        unsafe {
            let [a, b, c, d] = (*libc::__errno_location()).to_ne_bytes();
            let wrong = [step, a, b, c, d];
            libc::write(self.theirs, wrong.as_ptr().cast(), wrong.len());
            libc::_exit(EXIT_NO_PROGRAM);
        }
    }
}
