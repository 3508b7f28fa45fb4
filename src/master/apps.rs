//! The apps of this master, by name, and how each is spoken with. `run` and `serve` own them; what an
//! app does is `app`'s affair.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use futures::future::join_all;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    app::{self, Demand, Lines, Spec},
    listeners::MAX_HELD,
    measure::measured,
    pids::Pids,
    release::Release,
    reload::{Order, Reload},
    status::AppStatus,
    steps::Steps,
    turns::{self, Turns},
};

/// Requests for its status that wait for one app.
const MAX_STATUS_REQUESTS: usize = 8;

/// The longest that an app's status is waited for.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Orders that wait for one app: it takes each at once, and keeps the last release.
const MAX_ORDERS: usize = 4;

/// An app that has ended: an error is why it could not start.
pub(super) type Ended = (String, anyhow::Result<()>);

/// All apps. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Apps(Arc<Inner>);

struct Inner {
    lines: Mutex<BTreeMap<String, Line>>,
    /// What all are to do; none begins once it isn't to run.
    demand: watch::Sender<Demand>,
    ended: mpsc::UnboundedSender<Ended>,
    pids: Pids,
    /// The most connections that the master holds for one.
    max_held: usize,
    /// For messages.
    messages: Turns,
    /// For connections.
    connections: Turns,
}

/// How one app is spoken with.
struct Line {
    demand: watch::Sender<Demand>,
    status: mpsc::Sender<oneshot::Sender<AppStatus>>,
    orders: mpsc::Sender<Order>,
    /// Closed when it is gone.
    gone: watch::Receiver<()>,
}

impl Apps {
    /// None yet. `count` of them are to share so many fds. Each that ends comes out of the receiver.
    pub(super) fn new(fds: u64, count: usize) -> (Self, mpsc::UnboundedReceiver<Ended>) {
        let (ended_to, ended) = mpsc::unbounded_channel();
        let (demand, _) = watch::channel(Demand::Run);
        let inner = Inner {
            lines: Mutex::default(),
            demand,
            ended: ended_to,
            pids: Pids::default(),
            max_held: share(fds, count),
            messages: Turns::new(turns::MESSAGES),
            connections: Turns::new(turns::CONNECTIONS),
        };
        (Self(Arc::new(inner)), ended)
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<String, Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one that isn't there. `listener` is `None` for one without workers.
    ///
    /// # Errors
    /// It is there, or all are to end.
    pub(super) fn start(
        &self,
        release: Release,
        listener: Option<TcpListener>,
        steps: Steps,
    ) -> anyhow::Result<()> {
        let name = release.app.name.clone();
        if *self.0.demand.borrow() != Demand::Run {
            bail!("hatchery is stopping");
        }
        let mut lines = self.lines();
        if lines.contains_key(&name) {
            bail!("the app {name} runs already");
        }
        let (status_to, status) = mpsc::channel(MAX_STATUS_REQUESTS);
        let (orders_to, orders) = mpsc::channel(MAX_ORDERS);
        let (demand_to, demand) = watch::channel(Demand::Run);
        let (here, gone) = watch::channel(());
        let line = Line { demand: demand_to, status: status_to, orders: orders_to, gone };
        lines.insert(name.clone(), line);
        drop(lines);
        let (pids, max_held) = (self.0.pids.clone(), self.0.max_held);
        let (messages, connections) = (self.0.messages.share(), self.0.connections.share());
        let spec = Spec { listener, max_held, pids, seed: seed(), release, steps, messages, connections };
        let running = tokio::spawn(app::run(spec, Lines { demand, status, orders }));
        let apps = self.clone();
        tokio::spawn(async move {
            let result = match running.await {
                Ok(result) => result,
                Err(panic) => Err(anyhow::Error::from(panic).context("an app's loop broke")),
            };
            apps.lines().remove(&name);
            drop(here);
            let _ = apps.0.ended.send((name, result));
        });
        Ok(())
    }

    /// Is it there?
    pub(super) fn has(&self, name: &str) -> bool {
        self.lines().contains_key(name)
    }

    /// None is left.
    pub(super) fn are_gone(&self) -> bool {
        self.lines().is_empty()
    }

    /// What is to take over from what an app is now. False where the app isn't there.
    pub(super) async fn reload(&self, name: &str, reload: Reload) -> bool {
        self.order(name, Order::Reload(Box::new(reload))).await
    }

    /// What it was brought last and has not taken over yet is not wanted any more, for this reason.
    pub(super) async fn cancel(&self, name: &str, why: &str) {
        self.order(name, Order::Cancel(why.to_owned())).await;
    }

    async fn order(&self, name: &str, order: Order) -> bool {
        let Some(to) = self.lines().get(name).map(|line| line.orders.clone()) else { return false };
        to.send(order).await.is_ok()
    }

    /// What all are to do from now on. It only ever goes up.
    pub(super) fn demand(&self, wanted: Demand) {
        raise(&self.0.demand, wanted);
        self.lines().values().for_each(|line| raise(&line.demand, wanted));
    }

    /// Are they to end?
    pub(super) fn are_ending(&self) -> bool {
        *self.0.demand.borrow() != Demand::Run
    }

    /// Ends one in order, and returns when nothing is left of it.
    pub(super) async fn stop(&self, name: &str) {
        let Some(mut gone) = self.lines().get(name).map(|line| {
            raise(&line.demand, Demand::Stop);
            line.gone.clone()
        }) else {
            return;
        };
        while gone.changed().await.is_ok() {}
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        self.lines().keys().cloned().collect()
    }

    /// How they are, by name, without those that do not say in time.
    pub(super) async fn status(&self) -> Vec<AppStatus> {
        measured(self.unmeasured().await).await
    }

    /// The same, without what their processes take of the machine: nothing of `/proc` is read.
    pub(super) async fn unmeasured(&self) -> Vec<AppStatus> {
        let asking: Vec<_> = self
            .lines()
            .values()
            .map(|line| {
                let (asked, answer) = oneshot::channel();
                let sent = line.status.try_send(asked);
                async move {
                    sent.ok()?;
                    timeout(STATUS_TIMEOUT, answer).await.ok()?.ok()
                }
            })
            .collect();
        join_all(asking).await.into_iter().flatten().collect()
    }
}

fn raise(demand: &watch::Sender<Demand>, wanted: Demand) {
    demand.send_if_modified(|demand| {
        let raised = wanted > *demand;
        *demand = wanted.max(*demand);
        raised
    });
}

/// Of the fds, a half is for connections under way, in equal parts: with none left a worker that died
/// could not be replaced, and what is held would be held for ever.
fn share(fds: u64, apps: usize) -> usize {
    let half = usize::try_from(fds / 2).unwrap_or(usize::MAX);
    (half / apps.max(1)).clamp(1, MAX_HELD)
}

/// Differs from start to start; nothing secret hangs on it.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64 ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_as_a_table() {
        for (fds, apps, held) in [
            (1 << 20, 1, MAX_HELD),
            (1024, 1, 512),
            (1024, 4, 128),
            (u64::MAX, 0, MAX_HELD),
            (40, 1, 20),
            (0, 3, 1),
        ] {
            assert_eq!(share(fds, apps), held, "{fds} over {apps}");
        }
    }

    #[test]
    fn a_demand_only_goes_up() {
        let (demand, _keep) = watch::channel(Demand::Run);
        for (wanted, becomes) in [
            (Demand::Stop, Demand::Stop),
            (Demand::Run, Demand::Stop),
            (Demand::Kill, Demand::Kill),
            (Demand::Stop, Demand::Kill),
        ] {
            raise(&demand, wanted);
            assert_eq!(*demand.borrow(), becomes);
        }
    }
}
