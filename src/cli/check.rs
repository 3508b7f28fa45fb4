//! `hatchery check`: are the manifests right, and can their components run?

use std::{io::Write as _, path::PathBuf};

use serde::Serialize;

use super::home::Home;
use crate::{
    ipc::compile::{CompileRequest, Report},
    manifest::{self, App, Component, Overrides},
    master,
};

/// Check manifests and their components without starting them
///
/// Exit code 0 when all is right. Components are compiled, and so are ready for `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// Folders that hold a hatchery.toml, or such files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    home: Home,
}

const EXAMPLES: &str = "\
Examples:
  hatchery check guests/cache
  hatchery check --json guests/cache | jq '.[].components[].exports'";

#[derive(Debug, Serialize)]
struct Checked {
    app: String,
    version: String,
    components: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    role: &'static str,
    file: PathBuf,
    answers_http: bool,
    imports: Vec<String>,
    exports: Vec<String>,
    cached: bool,
    milliseconds: u128,
}

impl Check {
    pub(super) async fn execute(self, logging: &[String]) -> anyhow::Result<()> {
        let overrides = Overrides { dev_with: manifest::DevWith::Ignore, ..Overrides::default() };
        let apps = manifest::load_all(&self.paths, &overrides)?;
        let cache = self.home.open()?.join("cache");
        let mut checked = Vec::new();
        for app in apps {
            let mut components = Vec::new();
            for (role, component) in components_of(&app) {
                let request = CompileRequest { component: component.file.clone(), cache: cache.clone() };
                let compiled = master::compile(&request, logging).await?;
                components.push(Found::new(role, component, compiled.report));
            }
            checked.push(Checked { app: app.name, version: app.version, components });
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &checked)?;
            writeln!(out)?;
        } else {
            for app in &checked {
                writeln!(out, "ok app={} version={}", app.app, app.version)?;
                for found in &app.components {
                    writeln!(out, "  {} {} ({} ms)", found.role, found.file.display(), found.milliseconds)?;
                    writeln!(out, "    imports {}", list(&found.imports))?;
                    writeln!(out, "    exports {}", list(&found.exports))?;
                }
            }
        }
        Ok(())
    }
}

impl Found {
    fn new(role: &'static str, component: &Component, report: Report) -> Self {
        Self {
            role,
            file: component.file.clone(),
            answers_http: report.answers_http,
            imports: report.imports,
            exports: report.exports,
            cached: report.cached,
            milliseconds: report.elapsed.as_millis(),
        }
    }
}

fn components_of(app: &App) -> impl Iterator<Item = (&'static str, &Component)> {
    let worker = app.worker.as_ref().map(|worker| ("worker", &worker.component));
    worker.into_iter().chain(app.agent.as_ref().map(|agent| ("agent", &agent.component)))
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}
