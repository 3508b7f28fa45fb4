//! What each child is shut into, and how much of that must hold.
//!
//! `run` and `serve` call [`prepare`] once, before any other child; then whoever starts a child asks here for
//! its profile. Processes of an app are its tenant's (`tenants`). A guest sees its granted folders and nothing else, and reaches no network: a broker does, which
//! sees no folder.

use std::{
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{io::AsyncReadExt as _, net::UnixStream, time::timeout};

use super::{resolver, tenants};
use crate::{
    cluster::Role,
    ipc::{link, message::Boot, store::What},
    log,
    manifest::{Balance, Component, Worker},
    sys::{
        inherit::{CONTROL_FD, LOG_FD},
        sandbox::{At, Folder, Isolation, Listener, Namespaces, Network, Part, Profile, Report, Room, User},
        spawn::{Child, Spawn, spawn},
    },
};

/// The longest that a trial may take.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// The most bytes that it may say.
const MAX_REPORT: u64 = 4 << 10;

/// What holds for every child from the trial on.
#[derive(Clone)]
struct Ground {
    isolation: Isolation,
    /// Those that the trial was started in. Where a child can't be started in them, it can't be started.
    namespaces: Namespaces,
    /// What the trial lacked.
    lacks: Vec<Part>,
}

static GROUND: OnceLock<Ground> = OnceLock::new();

/// Finds out, with a child that does nothing else, what can be had on this machine. From then on each child is
/// to have all of that.
///
/// # Errors
/// It is to be strict, and something can't be had. Else that is in the log, once.
pub(crate) async fn prepare(isolation: Isolation) -> anyhow::Result<()> {
    let tried = timeout(TRIAL_TIMEOUT, try_all()).await;
    let (namespaces, report) = tried.context("the trial of the sandbox did not end in time")??;
    let lacks = report.missing.iter().map(|missing| missing.part).collect();
    let _ = GROUND.set(Ground { isolation, namespaces, lacks });
    match (report.lacks(), isolation) {
        (None, _) => tracing::debug!(landlock = report.landlock_abi, "processes are shut in"),
        (Some(lacks), Isolation::Strict) => bail!(
            "cannot shut processes in as isolation = \"strict\" wants it: {lacks}; or set isolation = \
             \"best-effort\""
        ),
        (Some(lacks), Isolation::BestEffort) => tracing::warn!("processes are not wholly shut in: {lacks}"),
    }
    Ok(())
}

/// What the user wants; by default before the trial.
pub(super) fn in_force() -> Isolation {
    GROUND.get().map(|ground| ground.isolation).unwrap_or_default()
}

/// Does every child have this part? Not before the trial.
pub(super) fn holds(part: Part) -> bool {
    GROUND.get().is_some_and(|ground| !ground.lacks.contains(&part))
}

/// The best namespaces that there are, and what holds in them.
async fn try_all() -> anyhow::Result<(Namespaces, Report)> {
    let user = tenants::any()?;
    let mut tries = Namespaces::to_try()
        .into_iter()
        .flat_map(|namespaces| user.to_try(namespaces).into_iter().map(move |runs_as| (namespaces, runs_as)))
        .peekable();
    loop {
        let (namespaces, runs_as) = tries.next().context("no way to start a process is known")?;
        match start(namespaces, user, runs_as).await {
            Ok((child, stream)) => return Ok((namespaces, listen(child, stream).await?)),
            // What is short for a moment must not decide for as long as the master lives.
            Err(error) if tries.peek().is_none() || !is_refused(&error) => {
                return Err(error).context("cannot start a trial of the sandbox");
            }
            Err(_) => {}
        }
    }
}

/// It is not to be had here, rather than just now.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, StorageFull, Unsupported};
    /// EUSERS: how older kernels say that there may be no more namespaces.
    const TOO_MANY: i32 = 87;
    // `StorageFull` is ENOSPC, and how newer ones do.
    matches!(error.kind(), PermissionDenied | Unsupported | InvalidInput | StorageFull)
        || error.raw_os_error() == Some(TOO_MANY)
}

async fn start(namespaces: Namespaces, user: User, runs_as: User) -> io::Result<(Child, UnixStream)> {
    let (stream, theirs) = link::pair()?;
    let log = log::collect(log::Whose::helper(None, "trial"), log::RATE)?;
    let profile = profile(Room::Guest, user, vec![], Network::None);
    let profile =
        Profile { isolation: Isolation::BestEffort, namespaces, runs_as, may_lack: None, ..profile };
    let child = spawn(Spawn {
        title: "hatchery: trial".to_owned(),
        args: super::arguments::of("trial"),
        fds: vec![(log, LOG_FD), (theirs, CONTROL_FD)],
        sandbox: Some(profile),
    });
    Ok((child.await?, stream))
}

async fn listen(mut child: Child, stream: UnixStream) -> anyhow::Result<Report> {
    let mut packet = vec![];
    stream.take(MAX_REPORT).read_to_end(&mut packet).await.context("cannot read a trial's report")?;
    let ended = super::exit::reason(child.wait().await);
    let report: Report = postcard::from_bytes(&packet)
        .with_context(|| format!("the trial of the sandbox did not say what holds ({ended})"))?;
    if !report.is_bounded() {
        bail!("the trial of the sandbox said too much");
    }
    Ok(report)
}

/// Of an agent or a worker.
pub(super) fn guest(boot: &Boot) -> Profile {
    let app = &boot.app;
    let component: Option<&Component> = match boot.process.role {
        Role::Agent => app.agent.as_ref().map(|agent| &agent.component),
        Role::Worker => app.worker.as_ref().map(|worker| &worker.component),
    };
    let capabilities = component.map(|component| &component.capabilities);
    let granted = capabilities.map(|capabilities| capabilities.folders.as_slice()).unwrap_or_default();
    let granted = granted.iter().map(|folder| Folder {
        source: folder.source.clone(),
        at: At::Number,
        writable: folder.writable && !boot.disk_full,
    });
    let accepts = |worker: &Worker| worker.balance == Balance::Shared;
    let shared = boot.process.role == Role::Worker && app.worker.as_ref().is_some_and(accepts);
    let listener = if shared { Listener::Shared } else { Listener::None };
    let user = tenants::user_of(&app.name);
    Profile { listener, ..profile(Room::Guest, user, granted.collect(), Network::None) }
}

/// Of an app's broker: the network, and what a resolver reads.
pub(super) fn broker(app: &str) -> Profile {
    let resolver = resolver::FILES.map(|file| readable(file.into(), At::Given));
    profile(Room::Broker, tenants::user_of(app), resolver.to_vec(), Network::Host)
}

/// Of a compiler, for an app where it is for one: nothing. The component is handed to it, and so is what it
/// writes to.
pub(super) fn compiler(app: Option<&str>) -> Profile {
    let user = app.map_or(User::Master, tenants::user_of);
    profile(Room::Compiler, user, vec![], Network::None)
}

/// Of a storekeeper, which is the master's: what its request needs of the home. It reads what strangers packed, so
/// it sees nothing of apps, secrets and native code. The path is one without links.
pub(super) fn storekeeper(home: &Path, what: &What) -> Profile {
    let (read, written): (&[&str], &[&str]) = match what {
        What::Add { .. } => (&["settings.toml"], &["store"]),
        What::Look { .. } | What::List => (&["settings.toml", "store"], &[]),
        What::Prune { .. } => (&[], &["store"]),
        What::Verify => (&["store"], &[]),
    };
    // What is a link leads elsewhere, maybe: it has the link's place.
    let at = |writable| move |name: &&str| Folder { source: home.join(name), at: At::Given, writable };
    let folders = read.iter().map(at(false)).chain(written.iter().map(at(true)));
    profile(Room::Storekeeper, User::Master, folders.collect(), Network::None)
}

fn readable(source: PathBuf, at: At) -> Folder {
    Folder { source, at, writable: false }
}

fn profile(room: Room, user: User, folders: Vec<Folder>, network: Network) -> Profile {
    let ground = GROUND.get().cloned();
    let Ground { isolation, namespaces, lacks } = ground.unwrap_or(Ground {
        isolation: Isolation::default(),
        namespaces: Namespaces::ALL,
        lacks: vec![],
    });
    // Where the trial could not be another user, nobody tries again for each process.
    let runs_as = if lacks.contains(&Part::OwnUser) { User::Master } else { user };
    Profile {
        room,
        folders,
        network,
        isolation,
        namespaces: namespaces.with(network),
        listener: Listener::None,
        may_lack: Some(lacks),
        user,
        runs_as,
        handed: vec![],
    }
}
