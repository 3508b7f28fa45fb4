//! One version of an app, as it is deployed: its manifest and the native code of its components.
//! `run` makes the first ones, `reload` the next.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::spawn_blocking;

use super::{
    compile::{Compiled, Order, compile},
    groups::{self, limits_of},
    native::Native,
    tenants,
};
use crate::{
    cluster::Role,
    home::AppSecrets,
    manifest::{App, Component, Worker},
    sys::cgroup::AppLimits,
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

/// What it was made of, and for whom (`tenants::owner`).
pub(super) type Codes = BTreeMap<(PathBuf, Role, u32), Code>;

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
        let owner = tenants::owner(&app.name);
        let code =
            |component: Option<&Component>, role| codes.get(&(component?.file.clone(), role, owner)).cloned();
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

/// Gives each app its user, and compiles each component once for each tenant, as many at a time as there are CPUs.
/// A file that several want, by one name or by several, is one component.
///
/// # Errors
/// One does not compile, or an app has a limit that can't be held and must be.
pub(super) async fn compile_all(apps: &[App], home: &Path) -> anyhow::Result<Codes> {
    apps.iter().try_for_each(groups::check)?;
    tenants::admit(apps).await?;
    let at_a_time = available_parallelism().map_or(1, std::num::NonZero::get);
    let compiled: Vec<Codes> = stream::iter(components(apps).await)
        .map(|wanted| compile_for(wanted, home.join("cache")))
        .buffer_unordered(at_a_time)
        .try_collect()
        .await?;
    Ok(compiled.into_iter().flatten().collect())
}

/// Who wants a component.
struct Wanted {
    app: String,
    role: Role,
    file: PathBuf,
    compile_time: Duration,
    limits: AppLimits,
}

/// What the apps want, by component. Tenants share none: what one's compiler makes is for its apps alone.
async fn components(apps: &[App]) -> Vec<Vec<Wanted>> {
    let mut found: BTreeMap<(u32, File), Vec<Wanted>> = BTreeMap::new();
    for app in apps {
        let owner = tenants::owner(&app.name);
        for (role, component) in app.components() {
            let wanted = Wanted {
                app: app.name.clone(),
                role,
                file: component.file.clone(),
                compile_time: app.limits.compile_time,
                limits: limits_of(app),
            };
            found.entry((owner, File::of(&component.file).await)).or_default().push(wanted);
        }
    }
    found.into_values().collect()
}

/// A file, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum File {
    Inode {
        device: u64,
        number: u64,
    },
    /// It can't be looked at: whoever compiles it says why.
    Unseen(PathBuf),
}

impl File {
    async fn of(path: &Path) -> Self {
        match tokio::fs::metadata(path).await {
            Ok(file) => Self::Inode { device: file.dev(), number: file.ino() },
            Err(_) => Self::Unseen(path.to_owned()),
        }
    }
}

/// Compiles it for the first of those, and gives it to all.
async fn compile_for(wanted: Vec<Wanted>, cache: PathBuf) -> anyhow::Result<Codes> {
    let Some(Wanted { app, role, file, limits, .. }) = wanted.first() else { return Ok(Codes::new()) };
    // Who allows less must not make it fail for the others.
    let cpu_limit = wanted.iter().map(|wanted| wanted.compile_time).max().unwrap_or_default();
    tracing::info!("compiling {app} {role} {}", file.display());
    let order = Order {
        component: file.clone(),
        cache,
        owner: tenants::owner(app),
        role: *role,
        app: app.clone(),
        cpu_limit,
        limits: Some(*limits),
    };
    let Compiled { code, report, digest, cached, elapsed } = compile(order).await?;
    for Wanted { app, role, file, .. } in &wanted {
        if *role == Role::Worker && !report.answers_http {
            let (component, exports) = (file.display(), report.exports.join(", "));
            bail!(
                "the worker of {app} answers no requests: {component} exports {exports}; export \
                 wasi:http/handler@0.3 or wasi:http/incoming-handler@0.2, or make it the agent's component"
            );
        }
    }
    let (wasi, exports) = (report.wasi, report.exports);
    let code = Code { code: Arc::new(Native::new(code)), digest, cached, elapsed };
    for Wanted { app, role, .. } in &wanted {
        tracing::info!(app, %role, wasi, cached, ?elapsed, exports = exports.join(" "), "compiled");
    }
    let of = |Wanted { file, role, app, .. }: Wanted| ((file, role, tenants::owner(&app)), code.clone());
    Ok(wanted.into_iter().map(of).collect())
}
