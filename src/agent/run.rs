//! An agent's life.

use std::sync::Arc;

use anyhow::Context as _;

use super::timers::Timers;
use crate::{
    child::{Child, Event, Instance, load},
    cluster::Role,
    host::{Handle, Job, Purpose, Requests},
};

/// An agent answers no HTTP.
const NO_REQUESTS: Requests = Requests { concurrency: 0, queued: 0 };

/// Lives until the master says stop, or the guest can't go on.
///
/// # Errors
///
/// What ended it.
pub async fn run(master: i32) -> anyhow::Result<()> {
    let mut child = Child::connect(Role::Agent, master).await?;
    match start(&mut child).await {
        Ok(guest) => {
            let how = serve(&mut child, guest).await;
            child.ended(how).await
        }
        Err(error) => child.failed(&error).await,
    }
}

async fn start(child: &mut Child) -> anyhow::Result<Option<(Instance, Handle)>> {
    let app = &child.boot.app;
    let Some(agent) = &app.agent else { return Ok(None) };
    let guest = load(Purpose::Resident)?;
    let (mut instance, handle) =
        Instance::new(&child.boot, &agent.component, &guest, &child.cluster, NO_REQUESTS);
    child.inbox.deliver_to(handle.clone(), guest);
    child.inbox.while_starting(instance.start()).await?;
    Ok(Some((instance, handle)))
}

async fn serve(child: &mut Child, guest: Option<(Instance, Handle)>) -> anyhow::Result<()> {
    let (instance, handle) = guest.unzip();
    let mut instance = tokio::spawn(async move {
        match instance {
            Some(instance) => instance.run().await,
            None => std::future::pending().await,
        }
    });
    let mut timers = Timers::new(&child.boot, Arc::clone(&child.cluster), handle.clone());
    child.ready();
    loop {
        tokio::select! {
            event = child.inbox.next() => match event {
                Event::ClusterReady => timers.start(),
                Event::RunEnded(run, outcomes) => timers.ended(run, &outcomes),
                Event::Superseded => timers.stop(),
                // It answers no requests.
                Event::Check(_) | Event::Serve => {}
                Event::Stop(_) => break,
            },
            () = timers.next() => {}
            ended = &mut instance => return ended.context("the instance's task failed")?,
        }
    }
    if let Some(handle) = handle {
        handle.send(Job::Stop);
        tokio::select! {
            _ = &mut instance => {}
            () = async { loop { child.inbox.next().await; } } => {}
        }
    }
    child.cluster.flushed().await;
    Ok(())
}
