//! `hatchery check`: are the manifests right, and can their components run?

use std::{io::Write as _, path::PathBuf};

use serde::Serialize;

use super::home::Home;
use crate::{
    cluster::Role,
    ipc::compile::{CompileRequest, Report},
    manifest::{self, Component, Overrides},
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
    role: String,
    file: PathBuf,
    wasi: String,
    answers_http: bool,
    imports: Vec<String>,
    exports: Vec<String>,
    cached: bool,
    milliseconds: u128,
}

impl Check {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let overrides = Overrides { dev_with: manifest::DevWith::Ignore, ..Overrides::default() };
        let apps = manifest::load_all(&self.paths, &overrides)?;
        let cache = self.home.open()?.cache();
        let mut checked = Vec::new();
        for app in apps {
            let mut components = Vec::new();
            for (role, component) in app.components() {
                let request = CompileRequest {
                    component: component.file.clone(),
                    cache: cache.clone(),
                    role,
                    app: app.name.clone(),
                };
                let compiled = master::compile(request).await?;
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
                    writeln!(
                        out,
                        "  {} {} (WASI {}, {} ms)",
                        found.role,
                        found.file.display(),
                        found.wasi,
                        found.milliseconds
                    )?;
                    writeln!(out, "    imports {}", list(&found.imports))?;
                    writeln!(out, "    exports {}", list(&found.exports))?;
                }
            }
        }
        Ok(())
    }
}

impl Found {
    fn new(role: Role, component: &Component, report: Report) -> Self {
        Self {
            role: role.to_string(),
            file: component.file.clone(),
            wasi: report.wasi,
            answers_http: report.answers_http,
            imports: report.imports,
            exports: report.exports,
            cached: report.cached,
            milliseconds: report.elapsed.as_millis(),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}
