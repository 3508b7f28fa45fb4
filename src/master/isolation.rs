//! What each child is shut into, and how much of that must hold.
//!
//! `run` and `serve` call [`prepare`] once, before any other child; then whoever starts a child asks here for
//! its profile. Processes of an app are its tenant's (`tenants`). A guest sees its granted folders and nothing else, and reaches no network: a broker does, which
//! sees no folder.

use std::{
    path::{Path, PathBuf, absolute},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{io::AsyncReadExt as _, time::timeout};

use super::tenants;
use crate::{
    cluster::Role,
    ipc::{compile::CompileRequest, link, message::Boot},
    manifest::Component,
    sys::{
        inherit::CONTROL_FD,
        sandbox::{At, Folder, Isolation, Namespaces, Network, Part, Profile, Report, Room, User},
        spawn::{Spawn, spawn},
    },
};

/// The longest that a trial may take.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// The most bytes that it may say.
const MAX_REPORT: u64 = 4 << 10;

/// What a resolver reads.
const RESOLVER: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];

static ISOLATION: OnceLock<Isolation> = OnceLock::new();

/// Can tenants have users of their own here?
static OWN_USERS: OnceLock<bool> = OnceLock::new();

/// Finds out, with a child that does nothing else, what can be had on this machine.
///
/// # Errors
/// It is to be strict, and something can't be had. Else that is in the log, once.
pub(super) async fn prepare(isolation: Isolation) -> anyhow::Result<()> {
    let _ = ISOLATION.set(isolation);
    let report = timeout(TRIAL_TIMEOUT, try_out()).await;
    let report = report.context("the trial of the sandbox did not end in time")??;
    // Where it can't, nobody tries again for each process.
    let _ = OWN_USERS.set(report.missing.iter().all(|missing| missing.part != Part::OwnUser));
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

async fn try_out() -> anyhow::Result<Report> {
    let (stream, theirs) = link::pair().context("cannot make a socket for a trial of the sandbox")?;
    let profile = profile(Room::Guest, tenants::any()?, vec![], Network::None);
    let mut child = spawn(Spawn {
        title: "hatchery: trial".to_owned(),
        args: super::arguments::of("trial"),
        fds: vec![(theirs, CONTROL_FD)],
        sandbox: Some(Profile { isolation: Isolation::BestEffort, ..profile }),
    })
    .await
    .context("cannot start a trial of the sandbox")?;
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
    profile(Room::Guest, tenants::user_of(&app.name), granted.collect(), Network::None)
}

/// Of an app's broker: the network, and what a resolver reads.
pub(super) fn broker(app: &str) -> Profile {
    let resolver = RESOLVER.map(|file| readable(file.into(), At::Given));
    profile(Room::Broker, tenants::user_of(app), resolver.to_vec(), Network::Host)
}

/// Of a compiler: the component, and the cache.
pub(super) fn compiler(request: &CompileRequest) -> Profile {
    let component = absolute(&request.component).unwrap_or_else(|_| request.component.clone());
    let cache = writable(request.cache.clone());
    let folders = vec![cache, readable(component, At::Given)];
    profile(Room::Compiler, tenants::user_of(&request.app), folders, Network::None)
}

/// Of a storekeeper, which is the master's: what of the home it reads and changes, and no secrets. The path is one without links.
pub(super) fn storekeeper(home: &Path) -> Profile {
    // What is a link leads elsewhere, maybe: it has the link's place.
    let at = |writable| move |name| Folder { source: home.join(name), at: At::Given, writable };
    let read = ["version", "settings.toml", "policy.toml", "logs"].map(at(false));
    let written = ["store", "cache", "apps"].map(at(true));
    let folders = read.into_iter().chain(written).collect();
    profile(Room::Storekeeper, User::Master, folders, Network::None)
}

fn readable(source: PathBuf, at: At) -> Folder {
    Folder { source, at, writable: false }
}

fn writable(source: PathBuf) -> Folder {
    Folder { source, at: At::Real, writable: true }
}

fn profile(room: Room, user: User, folders: Vec<Folder>, network: Network) -> Profile {
    let isolation = ISOLATION.get().copied().unwrap_or_default();
    let user = if OWN_USERS.get() == Some(&false) { User::Master } else { user };
    let (namespaces, runs_as, handed) = (Namespaces::NONE, User::Master, vec![]);
    Profile { room, folders, network, isolation, namespaces, user, runs_as, handed }
}
