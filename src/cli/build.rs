//! `hatchery build`, and the part of `hatchery run` that comes before the start: from source to the
//! component's file, by the `build` tables of the manifest.
//!
//! ```text
//!   tools are there? -> command -> output: a component, or a core module -> encode -> component's file
//! ```
//!
//! It runs what the manifest says, as the user, without a sandbox: only for one's own manifests. Standard
//! output stays free for what is read by machines, so everything that is said here and by the command
//! goes to standard error.

mod command;
mod encode;
mod install;
mod tools;

use std::{fs, path::PathBuf};

use anyhow::Context as _;

pub(super) use self::command::{Command, end};
use self::install::{holds, install};
use crate::manifest::{self, App, Component, Overrides};

/// Run the build commands of manifests
///
/// What a command leaves is put where the manifest says that the component is. A core module with an
/// embedded component type (of wit-bindgen, say) is made a component.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hatchery build guests/cache")]
pub(super) struct Build {
    /// Folders that hold a hatchery.toml, or such files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Build {
    pub(super) async fn execute(self) -> anyhow::Result<()> {
        let apps = manifest::load_all(&self.paths, &Overrides::default())?;
        for app in &apps {
            build(app).await?;
        }
        Ok(())
    }
}

/// Runs the app's build commands, the worker's first, and puts what they leave where the manifest says
/// that the components are. A component without a `build` table is left alone.
///
/// # Errors
/// A tool that is not there; the first command that can't be run or fails, or leaves no output.
pub(super) async fn build(app: &App) -> anyhow::Result<()> {
    let worker = app.worker.as_ref().map(|worker| ("worker", &worker.component));
    let agent = app.agent.as_ref().map(|agent| ("agent", &agent.component));
    let mut done = Vec::new();
    for (role, component) in worker.into_iter().chain(agent) {
        if let Some(build) = &component.build {
            if done.contains(&(build, &component.file)) {
                // One component for both.
                continue;
            }
            let what = || format!("building {} {role}", app.name);
            tools::check(build).with_context(what)?;
            let command = Command { title: what(), words: &build.command, folder: &app.folder };
            if let Err(failure) = command.run().await {
                return Err(match tools::diagnose(build, &app.folder) {
                    Some(advice) => failure.context(advice),
                    None => failure,
                });
            }
            install(build, &component.file).with_context(what)?;
            done.push((build, &component.file));
        }
    }
    Ok(())
}

/// Is there something to build: a component that is missing, or that is older than, and differs from,
/// what its command has left? Whether the source has changed is only known to the command itself.
pub(super) fn needs_build(app: &App) -> bool {
    let worker = app.worker.as_ref().map(|worker| &worker.component);
    let agent = app.agent.as_ref().map(|agent| &agent.component);
    worker.into_iter().chain(agent).any(component_needs_build)
}

fn component_needs_build(component: &Component) -> bool {
    let Some(build) = &component.build else { return false };
    if build.output == component.file {
        return !component.file.exists();
    }
    let changed = |path: &std::path::Path| fs::metadata(path).and_then(|found| found.modified());
    match (changed(&component.file), changed(&build.output)) {
        (Err(_), _) => true,
        (Ok(_), Err(_)) => false,
        (Ok(file), Ok(output)) => output > file && !holds(&component.file, build).unwrap_or(false),
    }
}

#[cfg(test)]
mod tests;
