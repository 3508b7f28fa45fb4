//! A broker's life: takes its peers from the master, serves them, and reports what it denied.

use std::{process, sync::Arc};

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;

use super::{
    dial::Dialler,
    peer::{With, serve},
    rules::Rules,
};
use crate::{
    child,
    cluster::Pid,
    ipc::{
        broker::{BrokerBoot, BrokerLimits, FromBroker, MAX_PACKET, Peer, ToBroker},
        counters::Counters,
        denials::Reporter,
        link::{self, Reader, Sender},
    },
    log,
    sys::{fd_socket::FdSocket, inherit, limits, misbehave, name, parent, priority, sandbox},
};

/// Its queue to the master, in bytes.
const QUEUE: usize = 256 << 10;

/// The exit code of a broker whose master is gone.
const MASTER_GONE: i32 = 3;

/// Lives as long as its master, or until the master ends it.
///
/// # Errors
/// There is no master, or it broke the protocol.
pub async fn run(master: i32) -> anyhow::Result<()> {
    let control = inherit::take(inherit::CONTROL_FD)
        .context("`hatchery broker` is started by the master, not by hand")?;
    parent::die_with_parent(master)?;
    name::set("hatchery-broker")?;
    misbehave::watch(control.try_clone()?);
    let options = link::Options { queue: QUEUE, ..link::Options::default() };
    let (mut reader, sender, writer) = link::split(link::from_fd(control)?, options);
    tokio::spawn(writer.run());
    let boot = match reader.next().await? {
        Some((ToBroker::Boot(boot), _)) => *boot,
        None => process::exit(MASTER_GONE),
    };
    let counters = inherit::take(inherit::COUNTERS_FD).context("no counters were handed over")?;
    let counters = Arc::new(Counters::open(counters)?);
    let BrokerLimits { memory, open_files, cpu_weight, log_rate } = boot.limits;
    limits::cap_data(memory).context("cannot cap this process's memory")?;
    limits::cap_nofile(open_files).context("cannot cap the open files")?;
    priority::weigh(cpu_weight).context("cannot set this process's priority")?;
    log::limit(log_rate, &counters);
    sandbox::tell();
    child::beat(boot.hang_timeout)?;
    let handed = inherit::take(inherit::HANDOFF_FD).context("no socket for peers was handed over")?;
    serve_all(boot, FdSocket::from_fd(handed)?, reader, (sender, counters)).await
}

async fn serve_all(
    boot: BrokerBoot,
    handed: FdSocket,
    mut control: Reader<ToBroker>,
    (master, counters): (Sender<FromBroker>, Arc<Counters>),
) -> anyhow::Result<()> {
    let tell = master.clone();
    let reporter = Reporter::new(move |denials| {
        // Without room the master does not read, and has other worries.
        let _ = tell.try_send(&FromBroker::Denied(denials), &[]);
    });
    let with = With { dialler: Arc::new(Dialler::new(Rules::new(boot), reporter)), counters };
    let mut peers: JoinSet<(Pid, Result<(), String>)> = JoinSet::new();
    let mut packet = [0; MAX_PACKET];
    loop {
        tokio::select! {
            peer = handed.recv(&mut packet) => {
                let Some((length, Some(socket))) = peer? else { bail!("the master handed over no peer") };
                let peer: Peer = postcard::from_bytes(&packet[..length])?;
                let (socket, with) = (FdSocket::from_fd(socket)?, with.clone());
                peers.spawn(async move { (peer.pid, serve(peer, socket, with).await) });
            }
            Some(ended) = peers.join_next(), if !peers.is_empty() => {
                if let (pid, Err(reason)) = ended.context("a peer's task failed")? {
                    let _ = master.send_control(&FromBroker::Breach { pid, reason }, &[]);
                }
            }
            frame = control.next() => match frame? {
                Some((ToBroker::Boot(_), _)) => bail!("the master sent a second Boot"),
                None => process::exit(MASTER_GONE),
            },
        }
    }
}
