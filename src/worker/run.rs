//! A worker's life.

use std::{future::pending, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    accept::Acceptor,
    connection::{Connections, Limits},
    health::Health,
    recycle::Wearing,
    service::{self, Handler, Service},
    stream::Patience,
};
use crate::{
    child::{Child, Event, Instance, load, settings},
    cluster::Role,
    host::{BodyLimits, Handle, Job, PerRequest, Purpose, Requests, Wasi},
    ipc::message::{Idle, Stop, ToMaster},
    manifest::{InstanceMode, Worker},
};

/// The largest linear memory of a pooled instance, in bytes: what its slot reserves.
const LARGEST_POOLED: usize = 4 << 30;

/// How long the last connections may take to come, once the master has said stop.
const LAST_CONNECTIONS: Duration = Duration::from_secs(1);

/// How much of its time to stop open connections may take. The guest's `lifecycle.stop` comes after
/// them, and then the master kills what is left.
const DRAIN_SHARE: f64 = 0.75;

/// How long a connection on which nothing goes on is kept, where others go on serving. Also no more
/// than a half of what open connections may take.
const LINGER: Duration = Duration::from_secs(5);

/// Lives until the master says stop, or the guest can't go on.
///
/// # Errors
///
/// What ended it.
pub async fn run(master: i32) -> anyhow::Result<()> {
    let mut child = Child::connect(Role::Worker, master).await?;
    match start(&mut child).await {
        Ok(started) => {
            let how = serve(&mut child, started).await;
            child.ended(how).await
        }
        Err(error) => child.failed(&error).await,
    }
}

struct Started {
    connections: Connections,
    resident: Option<(Instance, Handle)>,
    acceptor: Acceptor,
    health: Health,
}

async fn start(child: &mut Child) -> anyhow::Result<Started> {
    let app = &child.boot.app;
    let worker = app.worker.as_ref().context("the app has no worker")?;
    let guest = load(purpose(worker, app.limits.memory))?;
    let serial = worker.instance == InstanceMode::Resident && guest.wasi() == Wasi::P2;
    let requests = Requests {
        // One at a time is all that a resident WASI 0.2 instance can do.
        concurrency: if serial { 1 } else { worker.concurrency.get() },
        queued: worker.queued_requests,
    };
    let mut resident = None;
    if worker.instance == InstanceMode::Resident || guest.has_resident_exports() {
        let (mut instance, handle) =
            Instance::new(&child.boot, &worker.component, &guest, &child.cluster, requests);
        child.inbox.deliver_to(handle.clone(), guest.clone());
        child.inbox.while_starting(instance.start()).await?;
        resident = Some((instance, handle));
    }
    let handler = match (worker.instance, &resident) {
        (InstanceMode::Resident, Some((_, handle))) => Handler::Resident(handle.clone()),
        _ => Handler::PerRequest(PerRequest::new(
            guest.clone(),
            settings(&child.boot, &worker.component, &child.cluster),
            requests,
            app.limits.request_timeout,
        )),
    };
    let service = Arc::new(Service::new(service::Options {
        handler,
        timeout: app.limits.request_timeout,
        serial,
        blackbox: child.blackbox.clone(),
        counters: child.counters.clone(),
        body: BodyLimits { size: app.limits.body_size, timeout: app.limits.body_timeout },
    }));
    let health = Health::new(service.clone(), child.cluster.clone(), child.boot.address);
    let limits = Limits {
        header_size: app.limits.header_size,
        patience: Patience { header: app.limits.header_timeout, write: app.limits.write_timeout },
    };
    let connections = Connections::new(service, &limits);
    let acceptor = Acceptor::inherited(worker, guest.computing())?;
    Ok(Started { connections, resident, acceptor, health })
}

async fn serve(child: &mut Child, started: Started) -> anyhow::Result<()> {
    let Started { connections, resident, acceptor, health } = started;
    let (instance, handle) = resident.unzip();
    let mut guest = tokio::spawn(async move {
        match instance {
            Some(instance) => instance.run().await,
            None => pending().await,
        }
    });
    let mut accepting = tokio::spawn(acceptor.run(connections.clone()));
    let mut accepted_all = false;
    child.ready();
    let mut wearing = None;
    let Stop { within, idle } = loop {
        tokio::select! {
            reason = worn_out(&mut wearing, &connections) => {
                // The master sees to it from here on.
                child.cluster.tell(&ToMaster::Recycle { reason });
            }
            event = child.inbox.next() => match event {
                Event::Stop(stop) => break stop,
                Event::Serve => connections.open(),
                Event::Check(check) => health.check(check),
                // Not before: until then the master replaces nobody, and a worker asks only once.
                Event::ClusterReady => {
                    wearing.get_or_insert_with(|| Wearing::new(&child.boot.app, handle.clone()));
                }
                Event::RunEnded(..) | Event::Superseded => {}
            },
            ended = &mut guest => {
                // The requests in hand are answered: with a failure, since their instance has gone.
                accepting.abort();
                let _ = timeout(LAST_CONNECTIONS, connections.drained(Duration::ZERO)).await;
                return ended.context("the instance's task failed")?;
            }
            ended = &mut accepting, if !accepted_all => {
                ended.context("accepting failed")?.context("cannot accept connections")?;
                accepted_all = true;
            }
        }
    };
    let patience = within.mul_f64(DRAIN_SHARE);
    let (drained_by, drain_deadline) = watch::channel(Instant::now() + patience);
    connections.stop_accepting();
    let linger = match idle {
        Idle::Close => Duration::ZERO,
        Idle::Linger => LINGER.min(patience / 2),
    };
    let no_more = accepting.abort_handle();
    let drained = async {
        if !accepted_all {
            // What was handed over before the stop may come after it, on the other socket.
            match timeout(LAST_CONNECTIONS, &mut accepting).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => tracing::error!("cannot accept the last connections: {error:#}"),
                Ok(Err(error)) => tracing::error!("accepting the last connections failed: {error}"),
                Err(_) => accepting.abort(),
            }
        }
        connections.drained(linger).await;
    };
    let ended = async {
        tokio::select! {
            biased;
            () = drained => {}
            () = passed(drain_deadline) => {
                no_more.abort();
                tracing::warn!("stopping with open connections, whose clients do not read or requests take long");
            }
        }
        if let Some(handle) = handle {
            handle.send(Job::Stop);
            let _ = (&mut guest).await;
        }
    };
    // The guest's last requests may still need the cluster.
    tokio::select! {
        () = ended => {}
        () = async {
            loop {
                // The second time: there is less time, and nobody else any more.
                if let Event::Stop(Stop { within, idle }) = child.inbox.next().await {
                    let sooner = Instant::now() + within.mul_f64(DRAIN_SHARE);
                    drained_by.send_modify(|by| *by = sooner.min(*by));
                    if idle == Idle::Close {
                        connections.close_idle();
                    }
                }
            }
        } => {}
    }
    child.cluster.flushed().await;
    Ok(())
}

/// Why this worker should be replaced, once it has begun to wear. Dropping the future loses nothing.
async fn worn_out(wearing: &mut Option<Wearing>, connections: &Connections) -> String {
    match wearing {
        Some(wearing) => wearing.out(connections).await,
        None => pending().await,
    }
}

/// Returns at a time that may come nearer meanwhile.
async fn passed(mut deadline: watch::Receiver<Instant>) {
    loop {
        let by = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(by) => return,
            Ok(()) = deadline.changed() => {}
        }
    }
}

fn purpose(worker: &Worker, memory: usize) -> Purpose {
    match worker.instance {
        InstanceMode::Resident => Purpose::Resident,
        InstanceMode::PerRequest => {
            Purpose::Pool { instances: worker.pooled(), memory: memory.min(LARGEST_POOLED) }
        }
    }
}
