//! What each child is shut into, and how much of that must hold.
//!
//! `run` and `serve` call [`prepare`] once, before any other child; then whoever starts a child asks here for
//! its profile. A guest sees its granted folders and nothing else, and reaches no network: a broker does, which
//! sees no folder.

use std::{
    path::{Path, PathBuf, absolute},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::{
    cluster::Role,
    ipc::{compile::CompileRequest, link, message::Boot, store::What},
    manifest::Component,
    sys::{
        inherit::CONTROL_FD,
        sandbox::{At, Folder, Isolation, Namespaces, Network, Profile, Report, Room},
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

/// Finds out, with a child that does nothing else, what can be had on this machine.
///
/// # Errors
/// It is to be strict, and something can't be had. Else that is in the log, once.
pub(super) async fn prepare(isolation: Isolation) -> anyhow::Result<()> {
    let _ = ISOLATION.set(isolation);
    let report = timeout(TRIAL_TIMEOUT, try_out()).await;
    let report = report.context("the trial of the sandbox did not end in time")??;
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
    let profile = profile(Room::Guest, vec![], Network::None);
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
    profile(Room::Guest, granted.collect(), Network::None)
}

/// Of a broker: the network, and what a resolver reads.
pub(super) fn broker() -> Profile {
    let resolver = RESOLVER.map(|file| readable(file.into(), At::Given));
    profile(Room::Broker, resolver.to_vec(), Network::Host)
}

/// Of a compiler: the component, and the cache.
pub(super) fn compiler(request: &CompileRequest) -> Profile {
    let component = absolute(&request.component).unwrap_or_else(|_| request.component.clone());
    let cache = writable(request.cache.clone());
    profile(Room::Compiler, vec![cache, readable(component, At::Given)], Network::None)
}

/// Of a storekeeper: what its request needs of the home. It reads what strangers packed, so it sees nothing of
/// apps, secrets and native code. The path is one without links.
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
    profile(Room::Storekeeper, folders.collect(), Network::None)
}

fn readable(source: PathBuf, at: At) -> Folder {
    Folder { source, at, writable: false }
}

fn writable(source: PathBuf) -> Folder {
    Folder { source, at: At::Real, writable: true }
}

fn profile(room: Room, folders: Vec<Folder>, network: Network) -> Profile {
    let isolation = ISOLATION.get().copied().unwrap_or_default();
    Profile { room, folders, network, isolation, namespaces: Namespaces::NONE }
}
