//! `hatchery check`: are the manifests right, can their components run, and what would they be denied?

mod explain;
mod interface;
mod text;

use std::{io::Write as _, path::PathBuf};

use anyhow::bail;
use serde::Serialize;

use self::explain::{Explained, Names, explain};
use super::home::Home;
use crate::{
    cluster::Role,
    home::{Beyond, Policy},
    manifest::{self, App, Component, Overrides},
    master::{self, Compiled, Order},
    sys::{sandbox::Isolation, user},
};

/// Check manifests and their components without starting them
///
/// Says what each component imports and exports, which interfaces of the cluster it uses, and what the
/// manifest grants and denies it. Exit code 0 when all can run. Components are compiled, and so are ready
/// for `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// Folders that hold a hatchery.toml, or such files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    /// Also hold the manifests against this policy, or the home's where no file is named
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    policy: Option<Option<PathBuf>>,
    #[command(flatten)]
    home: Home,
}

const EXAMPLES: &str = "\
Examples:
  hatchery check guests/cache
  hatchery check guests/cache --policy               would a deploy to the home be refused?
  hatchery check guests/cache --policy policy.toml
  hatchery check --json guests/cache | jq '.[].components[].exports'";

#[derive(Debug, Serialize)]
struct Checked {
    app: String,
    version: String,
    components: Vec<Found>,
    /// Only where it was asked for; empty where the policy allows all.
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond_policy: Option<Vec<Beyond>>,
}

#[derive(Debug, Serialize)]
struct Found {
    role: String,
    file: PathBuf,
    wasi: String,
    answers_http: bool,
    imports: Vec<String>,
    exports: Vec<String>,
    cached: bool,
    milliseconds: u128,
    #[serde(flatten)]
    explained: Explained,
}

impl Check {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let overrides = Overrides { dev_with: manifest::DevWith::Ignore, ..Overrides::default() };
        let apps = manifest::load_all(&self.paths, &overrides)?;
        let home = self.home.open()?;
        let cache = home.cache();
        master::prepare(Isolation::BestEffort).await?;
        let policy = match &self.policy {
            None => None,
            Some(None) => Some(Policy::load(&home)?),
            Some(Some(file)) if file.is_dir() => {
                bail!("{} is a folder, not a policy; write the paths before --policy", file.display())
            }
            Some(Some(file)) => Some(Policy::read(file)?),
        };
        let mut checked = Vec::new();
        for app in apps {
            let beyond_policy = policy.as_ref().map(|policy| policy.beyond(&app));
            let mut components = Vec::new();
            for (role, component) in app.components() {
                let order = Order {
                    component: component.file.clone(),
                    cache: cache.clone(),
                    owner: user::effective(),
                    limits: None,
                    role,
                    app: app.name.clone(),
                    cpu_limit: app.limits.compile_time,
                };
                let compiled = master::compile(order).await?;
                components.push(Found::new(&app, role, component, compiled)?);
            }
            checked.push(Checked { app: app.name, version: app.version, components, beyond_policy });
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &checked)?;
            writeln!(out)?;
        } else {
            text::write(&mut out, &checked)?;
        }
        let refused: Vec<_> =
            checked.iter().filter(|app| app.is_refused()).map(|app| app.app.as_str()).collect();
        if !refused.is_empty() {
            bail!("the policy does not allow all that is asked for by {}", refused.join(", "));
        }
        Ok(())
    }
}

impl Checked {
    fn is_refused(&self) -> bool {
        self.beyond_policy.as_ref().is_some_and(|beyond| !beyond.is_empty())
    }
}

impl Found {
    /// # Errors
    /// It is a worker's and answers no requests.
    fn new(app: &App, role: Role, component: &Component, compiled: Compiled) -> anyhow::Result<Self> {
        let Compiled { report, cached, elapsed, .. } = compiled;
        let names = Names { imports: &report.imports, exports: &report.exports };
        let explained = explain(app, role, &component.capabilities, &names);
        if role == Role::Worker && !report.answers_http {
            bail!(
                "the worker of {} answers no requests: {} exports {}; export wasi:http/handler@0.3 or \
                 wasi:http/incoming-handler@0.2, or make it the agent's component",
                app.name,
                component.file.display(),
                report.exports.join(", ")
            );
        }
        Ok(Self {
            role: role.to_string(),
            file: component.file.clone(),
            wasi: report.wasi,
            answers_http: report.answers_http,
            imports: report.imports,
            exports: report.exports,
            cached,
            milliseconds: elapsed.as_millis(),
            explained,
        })
    }
}
