//! One app's life: its generations, each with its state, routes and children, and its listener.
//!
//! ```text
//!   children's events --+                                  +-> Router -> frames --> children
//!   stop, kill, order  -+-> the loop here -> Generations --+-> Cluster -> actions -> spawn, tell, kill
//!   timers -------------+                    (Running)     +-> Front (connections), shared
//! ```
//!
//! `apps` starts one for each app. The loop waits; what it hears goes to `generations`, and from there
//! to the generation that it concerns.

mod generations;
mod limits;
mod quota;
mod running;

use std::{
    collections::VecDeque,
    future::pending,
    net::TcpListener,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep_until},
};

use self::{generations::Generations, quota::LOOK_EVERY};
use super::{
    children::{Events, MAX_EVENTS},
    pids::Pids,
    release::Release,
    reload::Order,
    status::AppStatus,
    steps::Steps,
    taken::Seen,
    turns::Share,
};

/// How often dropped messages are reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What an app is to do. Only ever goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Demand {
    /// Live.
    Run,
    /// End in order.
    Stop,
    /// End at once.
    Kill,
}

/// What an app needs to live.
pub(crate) struct Spec {
    /// What it is to be first.
    pub(crate) release: Release,
    /// Bound. `None` without workers.
    pub(crate) listener: Option<TcpListener>,
    /// The most connections that the master holds for it.
    pub(crate) max_held: usize,
    /// Shared by all apps.
    pub(crate) pids: Pids,
    /// Of random choices.
    pub(crate) seed: u64,
    /// Who wants to know what becomes of its first release.
    pub(crate) steps: Steps,
    /// Of the master's time for messages.
    pub(crate) messages: Share,
    /// Of its time for connections.
    pub(crate) connections: Share,
}

/// How an app is spoken with.
pub(crate) struct Lines {
    /// What it is to do.
    pub(crate) demand: watch::Receiver<Demand>,
    /// Who wants to know how it is.
    pub(crate) status: mpsc::Receiver<oneshot::Sender<AppStatus>>,
    /// What it is to be from now on.
    pub(crate) orders: mpsc::Receiver<Order>,
}

/// Runs an app until it has stopped and no process of it is left. An error: it could not start.
pub(crate) async fn run(spec: Spec, lines: Lines) -> anyhow::Result<()> {
    let Lines { mut demand, mut status, mut orders } = lines;
    let (events_to, mut events) = mpsc::channel(MAX_EVENTS);
    let (breaches_to, mut breaches) = mpsc::unbounded_channel();
    let share = spec.messages.clone();
    let mut app = Generations::start(spec, Events::new(events_to, share.clone()), breaches_to)?;
    let (mut batch, mut due) = (Vec::with_capacity(MAX_EVENTS), VecDeque::new());
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looking: Option<JoinHandle<Seen>> = None;
    let mut report = interval(REPORT_EVERY);
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !app.are_over() {
        let wake = app.deadline();
        tokio::select! {
            () = async {
                share.turn().await;
                if due.is_empty() {
                    events.recv_many(&mut batch, MAX_EVENTS).await;
                }
            } => {
                due.extend(batch.drain(..));
                while let Some(event) = due.pop_front() {
                    app.heard(event);
                    // What is left has to wait: others' messages are due.
                    if !share.may() {
                        break;
                    }
                }
            }
            Some((pid, reason)) = breaches.recv() => app.breached(pid, reason),
            () = async { if let Some(at) = wake { sleep_until(at.into()).await } }, if wake.is_some() => {
                app.tick();
            }
            changed = demand.changed() => {
                let wanted = if changed.is_ok() { *demand.borrow_and_update() } else { Demand::Kill };
                app.demanded(wanted);
            }
            () = app.closed() => {}
            Some(asked) = status.recv() => { let _ = asked.send(app.status()); }
            Some(order) = orders.recv() => match order {
                Order::Reload(reload) => app.reload(*reload),
                Order::Cancel(why) => app.cancel(&why),
            },
            _ = report.tick() => app.report_drops(),
            _ = look.tick(), if looking.is_none() && app.is_watched() => {
                looking = app.look(Instant::now()).map(|wanted| spawn_blocking(move || wanted.look()));
            }
            seen = async { match &mut looking { Some(looking) => looking.await, None => pending().await } } => {
                looking = None;
                match seen {
                    Ok(seen) => app.seen(&seen),
                    Err(error) => tracing::error!(%error, "looking at what an app takes broke"),
                }
            }
        }
        app.settle();
    }
    match app.failure() {
        Some(reason) => Err(anyhow!(reason)),
        None => Ok(()),
    }
}
