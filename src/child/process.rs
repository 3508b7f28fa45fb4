//! The beginning of a child: its control socket, Hello, Boot, and its log.

use std::{process, sync::Arc};

use anyhow::{Context as _, bail};

use super::{Cluster, Inbox};
use crate::{
    cluster::Role,
    host::pool_reserve,
    ipc::{
        blackbox::BlackBox,
        counters::Counters,
        link,
        message::{Boot, PROTOCOL, ToChild, ToMaster},
    },
    log,
    sys::{inherit, limits, misbehave, name, parent, priority, sandbox},
};

/// A child that knows what it is.
pub struct Child {
    /// From the master.
    pub boot: Boot,
    /// Its side of the cluster.
    pub cluster: Arc<Cluster>,
    /// What the master sends from now on.
    pub inbox: Inbox,
    /// What the master has when this process is gone.
    pub blackbox: Arc<BlackBox>,
    /// What the master shows of this process.
    pub counters: Arc<Counters>,
}

impl Child {
    /// Connects to the master. The log begins here too: before, a child has nothing to say that
    /// says who it is.
    ///
    /// # Errors
    ///
    /// When there is no master, or it speaks another protocol.
    pub async fn connect(role: Role, master: i32) -> anyhow::Result<Self> {
        let control = inherit::take(inherit::CONTROL_FD)
            .with_context(|| format!("`hatchery {role}` is started by the master, not by hand"))?;
        parent::die_with_parent(master)?;
        name::set(&format!("hatchery-{role}"))?;
        misbehave::watch(control.try_clone()?);
        let (mut reader, sender, writer) = link::split(link::from_fd(control)?, link::Options::default());
        tokio::spawn(writer.run());
        let _ = sender.try_send(&ToMaster::Hello { protocol: PROTOCOL }, &[]);
        if let Some(report) = sandbox::report() {
            let _ = sender.try_send(&ToMaster::Sandboxed(report.clone()), &[]);
        }
        let mut boot = match reader.next().await? {
            Some((ToChild::Boot(boot), _)) => *boot,
            Some(_) => bail!("the master's first frame is not Boot"),
            None => process::exit(MASTER_GONE),
        };
        for folder in boot.app.folders_mut(role) {
            folder.source = sandbox::place(&folder.source);
        }
        let blackbox = inherit::take(inherit::BLACKBOX_FD).context("no black box was handed over")?;
        let blackbox = Arc::new(BlackBox::open(blackbox)?);
        log::also_to(&blackbox);
        let counters = inherit::take(inherit::COUNTERS_FD).context("no counters were handed over")?;
        let counters = Arc::new(Counters::open(counters)?);
        limits::cap_data(memory_cap(&boot)).context("cannot cap this process's memory")?;
        limits::cap_nofile(boot.app.open_files(boot.process.role)).context("cannot cap the open files")?;
        priority::weigh(boot.app.limits.cpu_weight).context("cannot set this process's priority")?;
        log::limit(boot.app.limits.log_rate, &counters);
        super::pulse::start(boot.app.limits.hang_timeout)?;
        sender.set_queue(boot.app.limits.queue_size);
        let outgoing = super::outgoing::outgoing(&boot, &sender, &counters)?;
        let cluster = Arc::new(Cluster::new(&boot, sender, blackbox.clone(), counters.clone(), outgoing));
        let inbox = Inbox::new(reader, cluster.clone());
        Ok(Self { boot, cluster, inbox, blackbox, counters })
    }

    /// The guest's start has returned.
    pub fn ready(&self) {
        self.cluster.tell(&ToMaster::Ready);
    }

    /// Passes on how its life ended. Where that was a failure, the master hears why.
    pub async fn ended(&self, how: anyhow::Result<()>) -> anyhow::Result<()> {
        if let Err(error) = &how {
            self.cluster.tell(&ToMaster::Ends { reason: format!("{error:#}") });
            self.cluster.flushed().await;
        }
        how
    }

    /// It can't start. The process ends here, silently: the master says why, once.
    pub async fn failed(&self, error: &anyhow::Error) -> ! {
        self.cluster.tell(&ToMaster::StartFailed { reason: format!("{error:#}") });
        self.cluster.flushed().await;
        process::exit(START_FAILED);
    }
}

/// `process-memory`, and what a worker's pool reserves on top: the kernel counts it, used or not.
fn memory_cap(boot: &Boot) -> u64 {
    let (app, role) = (&boot.app, boot.process.role);
    let worker = app.worker.as_ref().filter(|_| role == Role::Worker);
    let reserve = worker.map_or(0, |worker| pool_reserve(worker.pooled(), limits::page()));
    app.process_memory(role, limits::machine_memory()).saturating_add(reserve)
}

/// The exit code of a child that has said why it can't start.
const START_FAILED: i32 = 1;

/// The exit code of a child whose master is gone.
pub(super) const MASTER_GONE: i32 = 3;
