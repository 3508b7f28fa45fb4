//! One version of an app, as it is deployed: its manifest and the native code of its components.
//! `run` makes the first ones, `reload` the next.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::spawn_blocking;

use super::{compile::compile, native::Native};
use crate::{
    cluster::Role,
    home::AppSecrets,
    ipc::compile::CompileRequest,
    manifest::{App, Component, Worker},
};

/// A component's native code.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// What children load.
    pub(crate) code: Arc<Native>,
    /// Of the component that it was made of.
    digest: String,
    /// It had been compiled before.
    pub(super) cached: bool,
    /// How long that took.
    pub(super) elapsed: Duration,
}

/// What it was made of.
pub(super) type Codes = BTreeMap<(PathBuf, Role), Code>;

/// An app that can be started.
pub(crate) struct Release {
    /// The app.
    pub(crate) app: App,
    /// The workers' native code.
    pub(crate) worker: Option<Code>,
    /// The agent's native code; an agent that only keeps time has none.
    pub(crate) agent: Option<Code>,
    /// What its guests get beside.
    pub(crate) secrets: AppSecrets,
}

impl Release {
    /// `codes` and `secrets` have all that the app needs.
    pub(super) fn new(app: App, codes: &Codes, secrets: AppSecrets) -> Self {
        let code = |component: Option<&Component>, role| codes.get(&(component?.file.clone(), role)).cloned();
        let worker = code(app.worker.as_ref().map(|worker| &worker.component), Role::Worker);
        let agent = code(app.agent.as_ref().map(|agent| &agent.component), Role::Agent);
        Self { app, worker, agent, secrets }
    }

    /// Schedules need a process as well.
    pub(crate) fn has_agent(&self) -> bool {
        self.app.agent.is_some() || !self.app.schedules.is_empty()
    }

    /// How many worker processes.
    pub(crate) fn workers(&self) -> u32 {
        self.app.worker.as_ref().map_or(0, |worker| worker.workers.get())
    }

    /// What is to be made of `other` from this one.
    pub(crate) fn change_to(&self, other: &Self) -> Change {
        let digest = |code: &Option<Code>| code.as_ref().map(|code| code.digest.clone());
        let same_code =
            digest(&self.worker) == digest(&other.worker) && digest(&self.agent) == digest(&other.agent);
        let (Some(before), Some(after)) = (&self.app.worker, &other.app.worker) else {
            return Change::Generation;
        };
        let scaled = Worker { workers: after.workers, ..before.clone() };
        let scaled = App { worker: Some(scaled), ..self.app.clone() };
        let same_code = same_code && self.secrets == other.secrets;
        if same_code && before.workers != after.workers && scaled == other.app {
            return Change::Workers;
        }
        Change::Generation
    }
}

/// How one release follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Only the number of workers differs: those that stay go on.
    Workers,
    /// All processes are new ones. Also where nothing has changed: who reloads wants them fresh.
    Generation,
}

/// The secrets of these apps, in their order.
pub(super) async fn secrets_of(apps: &[App], home: &Path) -> anyhow::Result<Vec<AppSecrets>> {
    let named = |app: &App| app.components().any(|(_, component)| !component.capabilities.secrets.is_empty());
    if !apps.iter().any(named) {
        return Ok(vec![AppSecrets::default(); apps.len()]);
    }
    let (apps, home) = (apps.to_vec(), home.to_owned());
    let reading = spawn_blocking(move || apps.iter().map(|app| AppSecrets::read(&home, app)).collect());
    reading.await.context("reading secrets broke")?
}

/// Compiles each component once, as many at a time as there are CPUs.
pub(super) async fn compile_all(apps: &[App], home: &Path) -> anyhow::Result<Codes> {
    let cache = home.join("cache");
    let mut requests = BTreeMap::new();
    for app in apps {
        let worker = app.worker.as_ref().map(|worker| (Role::Worker, &worker.component));
        let agent = app.agent.as_ref().map(|agent| (Role::Agent, &agent.component));
        for (role, component) in agent.into_iter().chain(worker) {
            let component = component.file.clone();
            requests.entry((component.clone(), role)).or_insert_with(|| CompileRequest {
                component,
                cache: cache.clone(),
                role,
                app: app.name.clone(),
                cpu_limit: app.limits.compile_time,
            });
        }
    }
    let at_a_time = available_parallelism().map_or(1, std::num::NonZero::get);
    stream::iter(requests)
        .map(|(key, request)| async move {
            let (app, role) = (request.app.clone(), request.role);
            tracing::info!("compiling {app} {role} {}", request.component.display());
            let component = request.component.clone();
            let compiled = compile(request).await?;
            let report = compiled.report;
            if role == Role::Worker && !report.answers_http {
                let (component, exports) = (component.display(), report.exports.join(", "));
                bail!(
                    "the worker of {app} answers no requests: {component} exports {exports}; export \
                     wasi:http/handler@0.3 or wasi:http/incoming-handler@0.2, or make it the agent's component"
                );
            }
            let (wasi, cached, elapsed) = (report.wasi, report.cached, report.elapsed);
            tracing::info!(app, %role, wasi, cached, ?elapsed, exports = report.exports.join(" "), "compiled");
            let (code, digest) = (Arc::new(Native::new(compiled.code)), report.digest);
            anyhow::Ok((key, Code { code, digest, cached, elapsed }))
        })
        .buffer_unordered(at_a_time)
        .try_collect()
        .await
}
