//! The master's side of a generation's broker: starts it, replaces it when it dies, gives it its peers, and
//! hears what it denied. `app` owns one where the app is granted any host outside.
//!
//! ```text
//!   spawned -> Boot -> every peer's socket -> reports, new peers ... -> it ends: again, with the back-off
//! ```
//!
//! Each peer's socket is kept here as well, so that the next broker gets it and the peer notices nothing
//! but a delay. Dropping it ends the broker.

mod limits;
mod manners;
mod seen;

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    net::UnixStream,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use self::{
    manners::{Manners, Verdict},
    seen::Seen,
};
use super::{
    children::{ChildEvent, Events, Happening},
    exit,
    groups::{self, Work},
    heartbeat,
    helpers::{self, Helper},
    isolation,
    ledger::Ledger,
    reason::{MAX_REASON, broke, cut},
    resolver,
    status::{self, BrokerStatus},
};
use crate::{
    cluster::{Pid, Role},
    home::{OutboundPolicy, Policy},
    ipc::{
        broker::{BrokerBoot, FromBroker, MAX_PACKET, MAX_REPORT, Peer, ToBroker},
        counters::{self, Snapshot},
        link::{self, Reader, Sender},
    },
    manifest::App,
    sys::{
        fd_socket::FdSocket,
        inherit::{CONTROL_FD, COUNTERS_FD, HANDOFF_FD, HEARTBEAT_FD},
        spawn::{Child, Spawn, spawn},
    },
};

/// How long a broker may take to take one peer.
const HAND_OVER: Duration = Duration::from_secs(10);

/// How long a broker that is killed may take to be gone.
const END: Duration = Duration::from_secs(2);

/// Where the policy is.
static HOME: OnceLock<PathBuf> = OnceLock::new();

/// From now on this home's policy binds brokers. Once, before the first.
pub(super) fn obey(home: &Path) {
    let _ = HOME.set(home.to_owned());
}

/// A broker, as long as this lives.
pub(crate) struct Broker {
    to: mpsc::UnboundedSender<Command>,
    seen: Seen,
}

/// No more of them wait than processes are started and end.
enum Command {
    Add(Pid, Role, OwnedFd),
    Gone(Pid),
    /// End the process that is there, for this.
    Kill(String),
}

/// What it needs.
pub(crate) struct Options {
    /// Whose it is.
    pub(crate) app: App,
    /// Where peers that break the protocol are named.
    pub(crate) events: Events,
    /// Where denials go.
    pub(crate) ledger: Ledger,
}

impl Broker {
    /// `None` where the app is granted no host: it has no use for one.
    pub(crate) fn start(options: Options) -> Option<Self> {
        let roles = [Role::Agent, Role::Worker];
        if !roles.into_iter().any(|role| options.app.is_granted_hosts(role)) {
            return None;
        }
        let (to, commands) = mpsc::unbounded_channel();
        let peers = Peers { commands, sockets: BTreeMap::new() };
        let seen = Seen::default();
        tokio::spawn(supervise(options, peers, seen.clone()));
        Some(Self { to, seen })
    }

    /// A process is about to be spawned: its end of its socket to the broker.
    pub(crate) fn add(&self, pid: Pid, role: Role) -> io::Result<OwnedFd> {
        let (ours, theirs) = FdSocket::unused_pair()?;
        let _ = self.to.send(Command::Add(pid, role, ours));
        Ok(theirs)
    }

    /// A process is gone.
    pub(crate) fn gone(&self, pid: Pid) {
        let _ = self.to.send(Command::Gone(pid));
    }
}

impl Broker {
    /// How it is, and what it did.
    pub(crate) fn status(&self) -> BrokerStatus {
        self.seen.status()
    }

    /// What it counted, also those processes of it that are gone.
    pub(crate) fn counts(&self) -> Snapshot {
        self.seen.counts()
    }

    /// Ends the process that is there, if one is, for this; the next one takes over.
    pub(crate) fn kill(&self, reason: &str) {
        let _ = self.to.send(Command::Kill(reason.to_owned()));
    }

    /// The operating system's pid, while it has a process.
    pub(crate) fn os_pid(&self) -> Option<u32> {
        self.seen.os_pid()
    }
}

/// Who is to be served, and the broker's ends of their sockets.
struct Peers {
    commands: mpsc::UnboundedReceiver<Command>,
    sockets: BTreeMap<Pid, (Role, OwnedFd)>,
}

/// What is to be done after a change.
enum Change {
    /// This one is new.
    New(Pid),
    /// This one is not there any more.
    Gone(Pid),
    /// The process is to end, for this.
    Kill(String),
    /// There is no app any more.
    Over,
}

impl Peers {
    /// Waits for the next change.
    async fn change(&mut self) -> Change {
        match self.commands.recv().await {
            None => Change::Over,
            Some(Command::Add(pid, role, socket)) => {
                self.sockets.insert(pid, (role, socket));
                Change::New(pid)
            }
            Some(Command::Gone(pid)) => {
                self.sockets.remove(&pid);
                Change::Gone(pid)
            }
            Some(Command::Kill(reason)) => Change::Kill(reason),
        }
    }
}

async fn supervise(options: Options, mut peers: Peers, seen: Seen) {
    let app = options.app.name.clone();
    loop {
        let begun = std::time::Instant::now();
        let reason = match live(&options, &mut peers, &seen).await {
            Ok(End::Over) => return,
            Ok(End::Died(reason)) => reason,
            Err(error) => format!("{error:#}"),
        };
        tracing::warn!(app, reason, "the broker ended, and is replaced");
        let next = Instant::from_std(seen.ended(begun, &reason));
        loop {
            tokio::select! {
                () = sleep_until(next) => break,
                change = peers.change() => if matches!(change, Change::Over) { return },
            }
        }
    }
}

/// How a broker's life ended.
enum End {
    /// With its app.
    Over,
    /// By itself, or it had to be killed.
    Died(String),
}

/// One broker, from its start to its end.
async fn live(options: &Options, peers: &mut Peers, seen: &Seen) -> anyhow::Result<End> {
    let boot = boot(&options.app, peers.sockets.len()).await?;
    let files = resolver::Files::now().await;
    let (stream, their_stream) = link::pair()?;
    let (handoff, their_handoff) = FdSocket::pair()?;
    let (heartbeat, their_heartbeat) = link::pair()?;
    let (counters, their_counters) = counters::create()?;
    let App { name, limits, .. } = &options.app;
    let (told, pipes) = helpers::line(status::Helper::Broker, Some(name), limits.log_rate)?;
    let spawned = spawn(Spawn {
        title: format!("hatchery: broker {}", options.app.name),
        args: super::arguments::of("broker"),
        fds: [
            (their_stream, CONTROL_FD),
            (their_handoff, HANDOFF_FD),
            (their_heartbeat, HEARTBEAT_FD),
            (their_counters, COUNTERS_FD),
        ]
        .into_iter()
        .chain(pipes)
        .collect(),
        sandbox: Some(isolation::broker(&options.app.name)),
    });
    let mut child = spawned.await.context("it could not be started")?;
    let helper = Helper::new(&child, told);
    seen.started(helper, counters);
    tracing::info!(app = options.app.name, os_pid = child.id(), "broker started");
    let link_options = link::Options { max_frame: MAX_REPORT, ..link::Options::default() };
    let (reader, sender, writer) = link::split(stream, link_options);
    tokio::spawn(writer.run());
    let line = Line { reader, sender, handoff };
    let limits = groups::limits_of(&options.app);
    let group = groups::put_beside(Work::Broker, &options.app.name, limits, child.id()).await;
    let end = converse(options, peers, &mut child, line, (boot, heartbeat), files).await;
    let _ = child.start_kill();
    let status = timeout(END, child.wait()).await;
    if let Some(group) = group {
        group.ended().await;
    }
    match end {
        Ok(End::Died(reason)) if reason.is_empty() => {
            let reason = status.map_or_else(|_| "it does not end".to_owned(), exit::reason);
            Ok(End::Died(reason))
        }
        end => end,
    }
}

/// How a broker is spoken with.
struct Line {
    reader: Reader<FromBroker>,
    sender: Sender<ToBroker>,
    handoff: FdSocket,
}

async fn converse(
    options: &Options,
    peers: &mut Peers,
    child: &mut Child,
    mut line: Line,
    (boot, heartbeat): (BrokerBoot, UnixStream),
    files: resolver::Files,
) -> anyhow::Result<End> {
    let hang_timeout = boot.hang_timeout;
    line.sender.send_control(&ToBroker::Boot(Box::new(boot)), &[]).context("cannot queue its first frame")?;
    let mut manners = Manners::new(Instant::now());
    for (pid, (role, socket)) in &peers.sockets {
        hand_over(&line.handoff, Peer { pid: *pid, role: *role }, socket).await?;
        manners.handed(*pid);
    }
    let mut stale = std::pin::pin!(files.changed());
    let mut hangs = std::pin::pin!(heartbeat::watch(heartbeat, hang_timeout));
    loop {
        tokio::select! {
            // Why is seen when it is reaped.
            _ = child.wait() => return Ok(End::Died(String::new())),
            reason = &mut hangs => return Ok(End::Died(reason)),
            // Its peers lose nothing by that.
            file = &mut stale => return Ok(End::Died(format!("{} has changed", file.display()))),
            change = peers.change() => match change {
                Change::New(pid) => if let Some((role, socket)) = peers.sockets.get(&pid) {
                    hand_over(&line.handoff, Peer { pid, role: *role }, socket).await?;
                    manners.handed(pid);
                },
                Change::Gone(pid) => manners.gone(pid),
                Change::Kill(reason) => return Ok(End::Died(reason)),
                Change::Over => return Ok(End::Over),
            },
            // Each in its app's turn, as any child's.
            frame = line.reader.next() => {
                let Some((frame, data)) = frame? else { return Ok(End::Died(String::new())) };
                options.events.spend(data.len());
                if let Verdict::Breach(what) = hear(options, &mut manners, frame).await {
                    return Ok(End::Died(broke(what)));
                }
                options.events.turn().await;
            }
        }
    }
}

async fn hear(options: &Options, manners: &mut Manners, frame: FromBroker) -> Verdict {
    match frame {
        FromBroker::Denied(denials) => {
            let verdict = manners.denied(Instant::now());
            if verdict == Verdict::Take {
                options.ledger.add(denials);
            }
            verdict
        }
        FromBroker::Breach { pid, mut reason } => {
            let verdict = manners.accused(pid);
            if verdict == Verdict::Take {
                cut(&mut reason, MAX_REASON);
                let what = Happening::Failed(reason);
                let _ = options.events.send(ChildEvent { pid, what }).await;
            }
            verdict
        }
    }
}

async fn hand_over(handoff: &FdSocket, peer: Peer, socket: &OwnedFd) -> anyhow::Result<()> {
    let mut buf = [0; MAX_PACKET];
    let packet = postcard::to_slice(&peer, &mut buf)?;
    let Ok(sent) = timeout(HAND_OVER, handoff.send(packet, Some(socket.as_fd()))).await else {
        bail!("it took more than {} to take a peer", humantime::format_duration(HAND_OVER));
    };
    sent.context("cannot hand a peer to it")
}

async fn boot(app: &App, peers: usize) -> anyhow::Result<BrokerBoot> {
    let name = app.name.clone();
    let workers = app.worker.as_ref().map_or(0, |worker| worker.workers.get() as usize);
    let processes = workers + 1;
    let policy = tokio::task::spawn_blocking(move || policy(&name)).await??;
    Ok(BrokerBoot {
        app: app.name.clone(),
        agent: app.outbound_hosts(Role::Agent).to_vec(),
        worker: app.outbound_hosts(Role::Worker).to_vec(),
        policy,
        hang_timeout: app.limits.hang_timeout,
        // Twice as many while they are replaced.
        limits: limits::limits(&app.limits, peers.max(2 * processes)),
    })
}

/// Read anew for each broker. Where it can't be read there is none.
fn policy(app: &str) -> anyhow::Result<OutboundPolicy> {
    let policy = match HOME.get() {
        Some(home) => Policy::load_in(home)?,
        None => Policy::default(),
    };
    Ok(policy.outbound(app))
}
