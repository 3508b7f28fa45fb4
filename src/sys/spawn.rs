//! Starting a child: this same binary again, with an explicit list of fds and little else.
//!
//! The master calls it for every process of a cluster. A thread does it that lives as long as the master:
//! the kernel takes the end of the thread that starts a child for the end of its parent
//! ([`super::parent`]), and a loop must not wait the milliseconds until a child has begun to run.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    io,
    os::fd::{OwnedFd, RawFd},
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    clone::{Identity, Program},
    inherit::SANDBOX_FD,
    memfd,
    priority::{self, BEGINNING},
    process::First,
    sandbox::{Isolation, Namespaces, Profile, User, hand},
};

pub use super::process::Child;

/// Variables of the master's environment that a child keeps, beside those with [`ENV_PREFIX`]. A
/// guest sees none of them, only what its manifest says.
pub const ENV: [&str; 3] = ["RUST_BACKTRACE", "NO_COLOR", "TZ"];

/// Variables that begin with this are the host's own, and are kept.
pub const ENV_PREFIX: &str = "HATCHERY_";

/// mimalloc takes memory as it needs it, rather than a gibibyte at once: `limits::cap_data` counts
/// what is taken, used or not.
const ALLOCATOR: [(&str, &str); 1] = [("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// The most different warnings that are told once.
const MAX_SAID: usize = 256;

/// What to start.
#[derive(Debug)]
pub struct Spawn {
    /// `argv[0]`, as `ps` shows it: `hatchery: worker cache/0`.
    pub title: String,
    /// What follows it.
    pub args: Vec<OsString>,
    /// What the child has open, and under which number. All else is closed, but stderr, which is the master's
    /// where none is given.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// What it shuts itself into, first thing. `None`: nothing.
    pub sandbox: Option<Profile>,
}

/// Starts `/proc/self/exe`, which is this binary even if the file was replaced meanwhile: stdin and
/// stdout are null, its process group is its own (the terminal's Ctrl-C
/// reaches the master only). Dropping the child kills it.
///
/// # Errors
/// The system's own; two fds under one number.
pub async fn spawn(spawn: Spawn) -> io::Result<Child> {
    let (reply, started) = oneshot::channel();
    let order = Order { spawn, runtime: Handle::current(), reply };
    let gone = || io::Error::other("the thread that starts processes is gone");
    SPAWNER.send(order).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

/// What the thread is told.
struct Order {
    spawn: Spawn,
    /// Which is to reap the child.
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// The thread. The orders that wait are bounded by the processes that there may be.
static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, taken) = mpsc::channel::<Order>();
    thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || {
            // Children have them from here.
            let _ = priority::take_turns(BEGINNING);
            for Order { spawn, runtime, reply } in taken {
                let _entered = runtime.enter();
                // Nobody waits any more: the child is dropped, and so killed.
                let _ = reply.send(start(spawn));
            }
        })
        .expect("a process that can't start one thread can't run at all");
    orders
});

/// In exactly the namespaces that the profile names: with fewer it would have fewer walls, and nobody would
/// know.
fn start(spawn: Spawn) -> io::Result<Child> {
    let Spawn { title, args, mut fds, sandbox } = spawn;
    let Some(mut profile) = sandbox else {
        return start_in(title, args, fds, (Namespaces::NONE, User::Master));
    };
    if let User::Tenant { uid, gid } = profile.runs_as {
        match hand::open(&profile, (uid, gid)) {
            Ok(opened) => {
                profile.handed = opened.handed;
                fds.extend(opened.fds);
            }
            Err(refused) if profile.isolation == Isolation::Strict || !refused.leaves_a_way() => {
                return Err(refused.into());
            }
            Err(refused) => {
                warn_once(format!("{title} runs as the master's user: {refused}"));
                profile.run_as_master();
            }
        }
    }
    let packet = postcard::to_stdvec(&profile).map_err(io::Error::other)?;
    fds.push((memfd::sealed("sandbox", &packet)?, SANDBOX_FD));
    start_in(title, args, fds, (profile.namespaces, profile.runs_as))
}

/// A process that is started again says nothing new.
fn warn_once(warning: String) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.len() < MAX_SAID && !said.contains(&warning) {
        tracing::warn!("{warning}");
        said.insert(warning);
    }
}

fn start_in(
    title: String,
    args: Vec<OsString>,
    fds: Vec<(OwnedFd, RawFd)>,
    (namespaces, user): (Namespaces, User),
) -> io::Result<Child> {
    let environment = std::env::vars_os()
        .filter(|(name, _)| is_kept(name))
        .chain(ALLOCATOR.map(|(name, value)| (name.into(), value.into())))
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        });
    let arguments = [title.into()].into_iter().chain(args).collect();
    let program = Program::new(arguments, environment.collect(), fds)?;
    let started = program.start(namespaces, Identity::of(user))?;
    let first = if namespaces.pid() { First::Yes } else { First::No };
    Child::new(started.id, started.pidfd, first)
}

fn is_kept(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| ENV.contains(&name) || name.starts_with(ENV_PREFIX))
}

#[cfg(test)]
mod tests {
    //! A child is this test binary again, with one of the ignored tests below as what it runs. Run
    //! by hand these find no fd, and do nothing.

    use std::{
        fs,
        io::{Read, Write},
        os::unix::net::UnixStream,
        path::PathBuf,
        time::Duration,
    };

    use nix::unistd;
    use tokio::time::timeout;

    use super::*;
    use crate::sys::{
        inherit::{self, CONTROL_FD, HANDOFF_FD},
        parent::{EXIT_ORPHAN, die_with_parent},
        sandbox::{Isolation, Listener, Network, Room},
    };

    /// Far more than any of these takes.
    const DEADLINE: Duration = Duration::from_secs(20);

    async fn child(test: &str, control: UnixStream) -> Child {
        child_in(None, test, control).await
    }

    /// In all namespaces, and in nothing else: these tests don't go on.
    fn namespaces() -> Profile {
        Profile {
            room: Room::Guest,
            folders: vec![],
            network: Network::None,
            isolation: Isolation::BestEffort,
            namespaces: Namespaces::ALL,
            listener: Listener::None,
            may_lack: None,
            user: User::Master,
            runs_as: User::Master,
            handed: vec![],
        }
    }

    async fn child_in(sandbox: Option<Profile>, test: &str, control: UnixStream) -> Child {
        let null = fs::File::open("/dev/null").unwrap();
        spawn(Spawn {
            title: "hatchery: test".to_owned(),
            args: [&format!("sys::spawn::tests::{test}"), "--exact", "--ignored"].map(Into::into).to_vec(),
            fds: vec![(control.into(), CONTROL_FD), (null.into(), HANDOFF_FD)],
            sandbox,
        })
        .await
        .unwrap()
    }

    fn control() -> Option<UnixStream> {
        inherit::init().unwrap();
        inherit::take(CONTROL_FD).ok().map(UnixStream::from)
    }

    fn target(fd: RawFd) -> PathBuf {
        fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default()
    }

    /// What else is open here, a line each.
    fn others() -> String {
        let mut lines = String::new();
        for entry in fs::read_dir("/proc/self/fd").unwrap() {
            let fd = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
            let known = [0, 1, 2, CONTROL_FD, HANDOFF_FD].contains(&fd) || target(fd).starts_with("/proc");
            if !known {
                lines += &format!("also open {fd} {}\n", target(fd).display());
            }
        }
        lines
    }

    /// One line a fact.
    #[test]
    #[ignore = "what a child does"]
    fn reports() {
        let Some(mut control) = control() else { return };
        let mut report = format!("title {}\n", std::env::args().next().unwrap_or_default());
        report += &format!("own group {}\n", unistd::getpgrp() == unistd::getpid());
        report += &format!("parent {}\n", unistd::getppid());
        for fd in [0, 1, HANDOFF_FD] {
            report += &format!("{fd} is {}\n", target(fd).display());
        }
        report += &format!("second take {}\n", inherit::take(CONTROL_FD).is_ok());
        report += &format!("absent {}\n", inherit::take(inherit::LISTENER_FD).is_ok());
        report += &others();
        let given = |name: &OsStr| is_kept(name) || name == ALLOCATOR[0].0;
        for (name, _) in std::env::vars_os().filter(|(name, _)| !given(name)) {
            report += &format!("also set {}\n", name.display());
        }
        control.write_all(report.as_bytes()).unwrap();
    }

    /// Ends with the status of an orphan.
    #[test]
    #[ignore = "what a child does"]
    fn is_an_orphan() {
        if control().is_some() {
            die_with_parent(-1).unwrap();
        }
    }

    /// Starts a child of its own and waits for ever.
    #[test]
    #[ignore = "what a child does"]
    fn is_a_parent() {
        let Some(control) = control() else { return };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { child("dies_with_its_parent", control).await.wait().await }).unwrap();
    }

    /// The same, with a child in namespaces.
    #[test]
    #[ignore = "what a child does"]
    fn is_a_parent_of_one_in_namespaces() {
        let Some(control) = control() else { return };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let started =
            async { child_in(Some(namespaces()), "dies_with_its_parent", control).await.wait().await };
        runtime.block_on(started).unwrap();
    }

    /// Says that it is there and waits for ever.
    #[test]
    #[ignore = "what a child does"]
    fn dies_with_its_parent() {
        let Some(mut control) = control() else { return };
        die_with_parent(unistd::getppid().as_raw()).unwrap();
        control.write_all(b"x").unwrap();
        loop {
            thread::park();
        }
    }

    fn stream() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        (ours, theirs)
    }

    #[tokio::test]
    async fn a_child_gets_what_is_listed_and_nothing_else() {
        let _ours_only = tempfile::tempfile().unwrap();
        let (mut ours, theirs) = stream();
        let mut child = child("reports", theirs).await;
        let mut report = String::new();
        ours.read_to_string(&mut report).unwrap();
        assert!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().success());
        let me = std::process::id();
        assert_eq!(
            report,
            format!(
                "title hatchery: test\nown group true\nparent {me}\n0 is /dev/null\n1 is /dev/null\n\
                 {HANDOFF_FD} is /dev/null\nsecond take false\nabsent false\n"
            )
        );
    }

    #[tokio::test]
    async fn a_dropped_child_is_killed() {
        let (mut ours, theirs) = stream();
        let child = child("dies_with_its_parent", theirs).await;
        ours.read_exact(&mut [0]).unwrap();
        drop(child);
        assert_eq!(ours.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_childs_child_dies_with_it() {
        let (mut ours, theirs) = stream();
        let mut child = child("is_a_parent", theirs).await;
        ours.read_exact(&mut [0]).unwrap();
        child.kill().await.unwrap();
        assert_eq!(ours.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_childs_child_in_namespaces_dies_with_it() {
        let (mut ours, theirs) = stream();
        let mut child = child("is_a_parent_of_one_in_namespaces", theirs).await;
        ours.read_exact(&mut [0]).unwrap();
        child.kill().await.unwrap();
        assert_eq!(ours.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_dropped_child_in_namespaces_is_killed() {
        let (mut ours, theirs) = stream();
        let child = child_in(Some(namespaces()), "dies_with_its_parent", theirs).await;
        ours.read_exact(&mut [0]).unwrap();
        drop(child);
        assert_eq!(ours.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_late_child_ends_itself() {
        let (_ours, theirs) = stream();
        let mut child = child("is_an_orphan", theirs).await;
        let status = timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(EXIT_ORPHAN));
    }

    #[test]
    fn the_environment_is_a_short_list() {
        for (name, kept) in [("TZ", true), ("HATCHERY_LOG", true), ("PATH", false), ("MY_HATCHERY_X", false)]
        {
            assert_eq!(is_kept(OsStr::new(name)), kept, "{name}");
        }
    }

    #[tokio::test]
    async fn two_fds_under_one_number_are_refused() {
        let null = || OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let fds = vec![(null(), 3), (null(), 3)];
        let error =
            spawn(Spawn { title: String::new(), args: Vec::new(), fds, sandbox: None }).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
