//! What a child's guests have as their way to other hosts: a broker, where the manifest grants any; else
//! nobody, who denies everything.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;

use super::broker::Broker;
use crate::{
    cluster::{DialError, Origin, Why},
    host::{Dial, Dialling, Outgoing, OutgoingOptions},
    ipc::{
        counters::Counters,
        denials::Reporter,
        link::Sender,
        message::{Boot, ToMaster},
    },
    sys::inherit,
};

/// Made once, at the start.
///
/// # Errors
/// There is no broker where one is granted.
pub(super) fn outgoing(
    boot: &Boot,
    master: &Sender<ToMaster>,
    counters: &Arc<Counters>,
) -> anyhow::Result<Arc<Outgoing>> {
    let dial: Arc<dyn Dial> = if boot.app.is_granted_hosts(boot.process.role) {
        let socket = inherit::take(inherit::BROKER_FD).context("no socket to a broker was handed over")?;
        Arc::new(Broker::new(socket).context("cannot use the socket to the broker")?)
    } else {
        Arc::new(Nobody::new(master.clone()))
    };
    let counters = Arc::clone(counters);
    Ok(Outgoing::new(OutgoingOptions {
        dial,
        connections: boot.app.limits.outbound_connections,
        size: boot.app.limits.outbound_size,
        authorities: boot.authorities.clone(),
        on_hit: Arc::new(move |limit| counters.hit(limit)),
    }))
}

/// Denies everything, and tells the master.
struct Nobody(Arc<Reporter>);

impl Nobody {
    fn new(master: Sender<ToMaster>) -> Self {
        Self(Reporter::new(move |denials| {
            // Not worth a wait: the next report has more.
            let _ = master.try_send(&ToMaster::Denied(denials), &[]);
        }))
    }
}

impl Dial for Nobody {
    fn dial(&self, to: Origin, _: Duration) -> Dialling {
        self.0.note(to, Why::Manifest);
        Box::pin(std::future::ready(Err(DialError::Denied)))
    }
}
