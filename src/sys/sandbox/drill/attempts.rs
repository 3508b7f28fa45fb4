//! The attempts of a drill: system calls that a process which is shut in has no business with. `drill` makes each in
//! a process of its own.

use std::{
    ffi::CStr,
    fs, io,
    path::{Path, PathBuf},
    ptr,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, openat2},
    libc,
    sys::{
        socket::{MsgFlags, SockaddrIn, sendto},
        stat::Mode,
    },
};

use crate::sys::inherit::LISTENER_FD;

/// More threads than a process may have.
const THREADS: usize = 4096;

/// More than a file may have.
const BEYOND: i64 = 17 << 30;

/// The mode of a file that runs as its owner.
const SETUID: u32 = 0o4755;

/// Fds that are looked for.
const FDS: i32 = 4096;

/// What is tried on whom.
pub(super) struct Targets {
    pub(super) port: u16,
    pub(super) socket: String,
    pub(super) file: PathBuf,
    pub(super) home: PathBuf,
    pub(super) master: libc::c_int,
    /// Another tenant's.
    pub(super) tenant: libc::c_int,
    pub(super) folder: PathBuf,
    pub(super) log: PathBuf,
}

type Attempt = (&'static str, fn(&Targets) -> io::Result<()>);

fn done(result: libc::c_long) -> io::Result<()> {
    Errno::result(result).map(drop).map_err(Into::into)
}

/// A system call with up to four numbers.
fn call(number: libc::c_long, [a, b, c, d]: [libc::c_long; 4]) -> io::Result<()> {
    let none: libc::c_long = 0;
    // SAFETY: numbers, or pointers that are null or to strings that live on; what the kernel does with
    // them ends with this process.
    done(unsafe { libc::syscall(number, a, b, c, d, none, none) })
}

fn text(text: &'static CStr) -> libc::c_long {
    text.as_ptr() as libc::c_long
}

fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: takes numbers only.
    Ok(Errno::result(unsafe { libc::socket(family, kind, 0) })?)
}

/// The one that is shared, where there is one: else the number may be that of a file.
fn listener() -> io::Result<libc::c_int> {
    let (mut listens, mut size): (libc::c_int, _) = (0, 4);
    let into = (&raw mut listens).cast();
    // SAFETY: writes a number of this size.
    let known =
        unsafe { libc::getsockopt(LISTENER_FD, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, into, &raw mut size) };
    Errno::result(known)?;
    if listens == 1 { Ok(LISTENER_FD) } else { Err(Errno::EBADF.into()) }
}

/// A page.
fn map(flags: libc::c_int) -> io::Result<*mut libc::c_void> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: where is the kernel's choice, so nothing that is there is replaced.
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, access, flags, -1, 0) };
    if page == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(page) }
}

fn open(path: impl AsRef<Path>) -> io::Result<()> {
    fs::File::open(path).map(drop)
}

/// The first place that this role may write to.
fn writable() -> io::Result<PathBuf> {
    let entered = ["/folders/0"].into_iter().map(PathBuf::from).find(|path| path.is_dir());
    entered.ok_or_else(|| Errno::ENOENT.into())
}

/// Reads a byte of another process.
fn read_memory(pid: libc::c_int) -> io::Result<()> {
    let (mut bytes, from) = ([0u8; 8], 0x1000 as *mut libc::c_void);
    let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let theirs = libc::iovec { iov_base: from, iov_len: bytes.len() };
    // SAFETY: writes to `bytes` at most.
    let read = unsafe { libc::process_vm_readv(pid, &raw const ours, 1, &raw const theirs, 1, 0) };
    match Errno::result(read) {
        // It may; there is nothing at that address.
        Err(Errno::EFAULT) => Ok(()),
        other => other.map(drop).map_err(Into::into),
    }
}

fn write_far(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    file.write_at(b"x", BEYOND as u64).map(drop)
}

/// By name, in the order of the table that the tests print.
pub(super) const ATTEMPTS: &[Attempt] = &[
    ("open /etc/passwd", |_| open("/etc/passwd")),
    ("open /proc/1/environ", |_| open("/proc/1/environ")),
    ("open /dev/mem", |_| open("/dev/mem")),
    ("open the master's memory", |to| open(format!("/proc/{}/mem", to.master))),
    ("open another app's file", |to| open(&to.file)),
    ("open another app's file by /fds", |to| {
        open(Path::new("/fds/../..").join(to.file.strip_prefix("/").unwrap_or(&to.file)))
    }),
    ("list the apps of the home", |to| fs::read_dir(to.home.join("apps")).map(drop)),
    ("write to the apps of the home", |to| fs::write(to.home.join("apps/drill"), "")),
    ("list the secrets of the home", |to| fs::read_dir(to.home.join("secrets")).map(drop)),
    ("connect to the admin socket", |to| {
        std::os::unix::net::UnixStream::connect(to.home.join("hatchery.sock")).map(drop)
    }),
    ("list /", |_| {
        let names = fs::read_dir("/")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let host: Vec<String> =
            names.filter(|name| ["etc", "usr", "bin", "root", "proc"].contains(&name.as_str())).collect();
        if host.is_empty() { Err(Errno::ENOENT.into()) } else { Ok(()) }
    }),
    ("link out of a folder", |_| {
        let link = writable()?.join("drill-link");
        let _ = fs::remove_file(&link);
        let made = std::os::unix::fs::symlink("/etc/passwd", &link);
        let read = made.and_then(|()| open(&link));
        let _ = fs::remove_file(&link);
        read
    }),
    ("make a device", |_| {
        let path =
            std::ffi::CString::new(writable()?.join("drill-device").into_os_string().into_encoded_bytes())?;
        // SAFETY: the path ends in NUL.
        done(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, 1)) }.into())
    }),
    ("write to the root", |_| fs::write("/drill", "")),
    ("write a file without end", |_| {
        let path = writable()?.join("drill-big");
        let written = fs::File::create(&path).and_then(|file| write_far(&file));
        let _ = fs::remove_file(&path);
        written
    }),
    ("make a setuid file", |_| {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = writable()?.join("drill-setuid");
        fs::File::options().write(true).create(true).mode(SETUID).open(path).map(drop)
    }),
    ("make a setuid file by openat2", |_| {
        let folder = fs::File::open(writable()?)?;
        let how = OpenHow::new().flags(OFlag::O_CREAT | OFlag::O_WRONLY).mode(Mode::from_bits_retain(SETUID));
        Ok(openat2(&folder, "drill-setuid-2", how).map(drop)?)
    }),
    ("make a file setuid", |_| {
        use std::os::unix::fs::PermissionsExt as _;
        let file = fs::File::create(writable()?.join("drill-setuid-3"))?;
        file.set_permissions(fs::Permissions::from_mode(SETUID))
    }),
    ("make a file setuid by its name", |_| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = writable()?.join("drill-setuid-4");
        fs::File::create(&path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(SETUID))
    }),
    ("look for fds that were not handed over", |_| {
        let known = |fd: i32| (0..=15).contains(&fd);
        // SAFETY: asks for flags, whether it is open or not.
        let open = (0..FDS).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0);
        if open.filter(|fd| !known(*fd)).count() > 0 { Ok(()) } else { Err(Errno::EBADF.into()) }
    }),
    ("connect to 127.0.0.1", |to| std::net::TcpStream::connect(("127.0.0.1", to.port)).map(drop)),
    ("make a listener blocking", |_| {
        // SAFETY: takes numbers only.
        done(unsafe { libc::fcntl(listener()?, libc::F_SETFL, 0) }.into())
    }),
    ("make a listener blocking by ioctl", |_| {
        let mut no: libc::c_int = 0;
        // SAFETY: the number is read.
        done(unsafe { libc::ioctl(listener()?, libc::FIONBIO, &raw mut no) }.into())
    }),
    ("connect by a listener", |to| {
        // It must not listen any more; what then connects it is no `connect`.
        // SAFETY: takes numbers only.
        unsafe { libc::shutdown(listener()?, libc::SHUT_RD) };
        let address = SockaddrIn::new(127, 0, 0, 1, to.port);
        let flags = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN | libc::MSG_DONTWAIT);
        match sendto(LISTENER_FD, b"x", &address, flags) {
            // Under way.
            Err(Errno::EINPROGRESS) => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }),
    ("listen on a port", |_| std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
    ("connect to an abstract socket", |to| {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&to.socket)?;
        std::os::unix::net::UnixStream::connect_addr(&address).map(drop)
    }),
    ("socket AF_NETLINK", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW).map(drop)),
    ("socket AF_PACKET", |_| socket(libc::AF_PACKET, libc::SOCK_RAW).map(drop)),
    ("socket AF_ALG", |_| socket(libc::AF_ALG, libc::SOCK_SEQPACKET).map(drop)),
    ("socket AF_VSOCK", |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM).map(drop)),
    ("exec /bin/sh", |_| call(libc::SYS_execve, [text(c"/bin/sh"), 0, 0, 0])),
    ("exec a memfd", |_| {
        // SAFETY: the name ends in NUL.
        let fd = Errno::result(unsafe { libc::memfd_create(c"drill".as_ptr(), 0) })?;
        let script = b"#!/bin/true\n";
        // SAFETY: the bytes are there.
        unsafe { libc::write(fd, script.as_ptr().cast(), script.len()) };
        call(libc::SYS_execveat, [fd.into(), text(c""), 0, 0])
    }),
    ("fork", |_| {
        // SAFETY: the child ends at once.
        let child = Errno::result(unsafe { libc::fork() })?;
        if child == 0 {
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        Ok(())
    }),
    ("threads without end", |_| {
        for _ in 0..THREADS {
            std::thread::Builder::new().stack_size(16 << 10).spawn(|| {
                loop {
                    std::thread::park();
                }
            })?;
        }
        Ok(())
    }),
    ("memory that is not counted, shared", |_| map(libc::MAP_SHARED | libc::MAP_ANONYMOUS).map(drop)),
    ("memory that is not counted, a stack", |_| {
        map(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN).map(drop)
    }),
    ("memory that is not counted, moved", |_| {
        let page = map(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)?;
        call(libc::SYS_mremap, [page as libc::c_long, 4096, 8192, libc::MREMAP_MAYMOVE.into()])
    }),
    ("ptrace the master", |to| call(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), to.master.into(), 0, 0])),
    ("kill the master", |to| call(libc::SYS_kill, [to.master.into(), 0, 0, 0])),
    ("kill all", |_| {
        // To nobody, if there is nobody else: that is no way out.
        call(libc::SYS_kill, [-1, 0, 0, 0])
    }),
    ("read the master's memory", |to| read_memory(to.master)),
    ("open a handle to the master", |to| call(libc::SYS_pidfd_open, [to.master.into(), 0, 0, 0])),
    ("signal another tenant", |to| call(libc::SYS_kill, [to.tenant.into(), 0, 0, 0])),
    ("ptrace another tenant", |to| {
        call(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), to.tenant.into(), 0, 0])
    }),
    ("read another tenant's memory", |to| read_memory(to.tenant)),
    ("open another tenant's memory", |to| open(format!("/proc/{}/mem", to.tenant))),
    ("open another tenant's environment", |to| open(format!("/proc/{}/environ", to.tenant))),
    ("list another tenant's folder", |to| fs::read_dir(&to.folder).map(drop)),
    ("write to another tenant's folder", |to| fs::write(to.folder.join("drill"), "")),
    ("open another tenant's log", |to| open(&to.log)),
    ("mount", |_| call(libc::SYS_mount, [text(c"none"), text(c"/"), text(c"tmpfs"), 0])),
    ("unmount", |_| call(libc::SYS_umount2, [text(c"/fds"), libc::MNT_DETACH.into(), 0, 0])),
    ("pivot_root", |_| call(libc::SYS_pivot_root, [text(c"/"), text(c"/"), 0, 0])),
    ("chroot", |_| call(libc::SYS_chroot, [text(c"/"), 0, 0, 0])),
    ("unshare a user namespace", |_| call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0])),
    ("clone into a user namespace", |_| {
        let flags = libc::c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
        // SAFETY: as a fork; the child ends at once.
        let child = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
        if child == 0 {
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        Ok(())
    }),
    ("setuid(0)", |_| call(libc::SYS_setuid, [0, 0, 0, 0])),
    ("setuid(1)", |_| call(libc::SYS_setuid, [1, 0, 0, 0])),
    ("raise the limit of open files", |_| {
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        // SAFETY: it is read.
        done(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }.into())
    }),
    ("raise the limit of cores", |_| {
        let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
        // SAFETY: it is read.
        done(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) }.into())
    }),
    ("limits of the master", |to| {
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
        // SAFETY: it is read.
        done(
            unsafe { libc::prlimit(to.master, libc::RLIMIT_NOFILE, &raw const limit, ptr::null_mut()) }
                .into(),
        )
    }),
    ("raise the priority", |_| call(libc::SYS_setpriority, [libc::PRIO_PROCESS as libc::c_long, 0, -20, 0])),
    ("keyctl", |_| call(libc::SYS_keyctl, [0, -3, 1, 0])),
    ("add_key", |_| call(libc::SYS_add_key, [text(c"user"), text(c"drill"), text(c"x"), 1])),
    ("bpf", |_| {
        let attributes = [0u8; 128];
        call(libc::SYS_bpf, [0, attributes.as_ptr() as libc::c_long, 128, 0])
    }),
    ("userfaultfd", |_| call(libc::SYS_userfaultfd, [0, 0, 0, 0])),
    ("io_uring_setup", |_| {
        let mut parameters = [0u8; 120];
        call(libc::SYS_io_uring_setup, [1, parameters.as_mut_ptr() as libc::c_long, 0, 0])
    }),
    ("perf_event_open", |_| {
        // Of the kind `software`, with its size: the smallest that is known.
        let mut attributes = [0u32; 32];
        (attributes[0], attributes[1]) = (1, 128);
        call(libc::SYS_perf_event_open, [attributes.as_ptr() as libc::c_long, 0, -1, -1])
    }),
    ("init_module", |_| call(libc::SYS_init_module, [0, 0, text(c""), 0])),
    ("read the kernel's log", |_| call(libc::SYS_syslog, [10, 0, 0, 0])),
    ("set the clock", |_| {
        let time = libc::timespec { tv_sec: 0, tv_nsec: -1 };
        match call(libc::SYS_clock_settime, [0, (&raw const time) as libc::c_long, 0, 0]) {
            // It may, but for the number.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(Errno::EPERM.into()),
            other => other,
        }
    }),
    ("type into the terminal", |_| call(libc::SYS_ioctl, [2, libc::TIOCSTI as libc::c_long, text(c"x"), 0])),
    ("become dumpable", |_| call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0, 0])),
    ("personality", |_| call(libc::SYS_personality, [0x0040_0000, 0, 0, 0])),
    ("schedule in real time", |_| {
        let parameter = libc::sched_param { sched_priority: 1 };
        call(
            libc::SYS_sched_setscheduler,
            [0, libc::SCHED_FIFO.into(), (&raw const parameter) as libc::c_long, 0],
        )
    }),
    ("take shorter turns", |_| {
        // `struct sched_attr`: its size, no niceness, and a turn in nanoseconds.
        let attributes: [u64; 6] = [48, 0, 0, 100_000, 0, 0];
        call(libc::SYS_sched_setattr, [0, (&raw const attributes) as libc::c_long, 0, 0])
    }),
    ("list the compile cache", |to| fs::read_dir(to.home.join("cache")).map(drop)),
    ("open the compile cache's key", |to| open(to.home.join("cache.key"))),
];
