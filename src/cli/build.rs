//! `hatchery build`, and the part of `hatchery run` that comes before the start: from source to the
//! component's file, by the `build` tables of the manifest.
//!
//! It runs what the manifest says, as the user, without a sandbox: only for one's own manifests. Standard
//! output stays free for what is read by machines, so everything that is said here and by the command
//! goes to standard error.

use std::{
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{process::Command, time::timeout};

use crate::manifest::{self, App, Component, Overrides};

/// The longest that one command may take.
const MAX_BUILD_TIME: Duration = Duration::from_secs(3600);

/// Tools that guests are built with, and where one gets them.
const TOOLS: &[(&str, &str)] = &[
    ("cargo", "install Rust with rustup, then run `rustup target add wasm32-wasip2`"),
    ("rustc", "install Rust with rustup, then run `rustup target add wasm32-wasip2`"),
    ("node", "install Node.js"),
    ("npm", "install Node.js, which brings it"),
    ("npx", "install Node.js, which brings it"),
    ("jco", "install Node.js, then run `npm install -g @bytecodealliance/jco`"),
    ("componentize-py", "install Python, then run `pip install componentize-py`"),
    ("python", "install Python"),
    ("python3", "install Python"),
    ("go", "install Go"),
    ("tinygo", "install TinyGo"),
    ("wasm-tools", "run `cargo install wasm-tools`"),
    ("just", "run `cargo install just`"),
    ("make", "install your system's package `make`"),
];

/// Run the build commands of manifests
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
/// The first command that can't be run or fails, or leaves no output.
pub(super) async fn build(app: &App) -> anyhow::Result<()> {
    let worker = app.worker.as_ref().map(|worker| ("worker", &worker.component));
    let agent = app.agent.as_ref().map(|agent| ("agent", &agent.component));
    for (role, component) in worker.into_iter().chain(agent) {
        if let Some(build) = &component.build {
            run(app, role, build).await?;
            install(&build.output, &component.file)
                .with_context(|| format!("building {} {role}", app.name))?;
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
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    match (changed(&component.file), changed(&build.output)) {
        (Err(_), _) => true,
        (Ok(_), Err(_)) => false,
        (Ok(file), Ok(output)) => output > file && !same(&build.output, &component.file).unwrap_or(false),
    }
}

async fn run(app: &App, role: &str, build: &manifest::Build) -> anyhow::Result<()> {
    let shown =
        shlex::try_join(build.command.iter().map(String::as_str)).unwrap_or_else(|_| build.command.join(" "));
    let name = &app.name;
    let (tool, arguments) = build.command.split_first().context("the build command is empty")?;
    eprintln!("building {name} {role}: {shown}");

    // Else it would be looked for from where hatchery was started.
    let program = if tool.contains('/') { app.folder.join(tool) } else { PathBuf::from(tool) };
    let output = io::stderr().as_fd().try_clone_to_owned().context("can't share standard error")?;
    let child = Command::new(&program)
        .args(arguments)
        .current_dir(&app.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::from(output))
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|cause| {
        let advice = advice(tool, &cause);
        anyhow::Error::new(cause).context(format!("building {name} {role}: can't run `{tool}`: {advice}"))
    })?;
    let status = timeout(MAX_BUILD_TIME, child.wait()).await.with_context(|| {
        let minutes = MAX_BUILD_TIME.as_secs() / 60;
        format!("building {name} {role}: `{shown}` was stopped after {minutes} minutes")
    })?;
    let status = status.with_context(|| format!("building {name} {role}: can't wait for `{shown}`"))?;
    if !status.success() {
        bail!("building {name} {role}: `{shown}` failed ({}); see what it said above", end(status));
    }
    Ok(())
}

/// What to do about a tool that can't be run.
fn advice(tool: &str, cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound if tool.contains('/') => {
            "there is no such file in the app's folder, or what its first line names is missing".to_owned()
        }
        io::ErrorKind::NotFound => {
            let known = TOOLS.iter().find(|(name, _)| *name == tool);
            let install = known.map_or("install it, or name it with its path", |(_, advice)| advice);
            format!("it is not installed, or not on PATH; {install}")
        }
        io::ErrorKind::PermissionDenied => "it is not executable; run `chmod +x` on it".to_owned(),
        _ => "check `command` in the manifest".to_owned(),
    }
}

fn end(status: ExitStatus) -> String {
    // A signal's text is `signal: 9 (SIGKILL)`.
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// Puts `output` at `file` in one step, so that who reads it meanwhile sees the old or the new one. Not
/// touched when it is the same, so that nothing is compiled or reloaded for nothing.
fn install(output: &Path, file: &Path) -> anyhow::Result<()> {
    let found = fs::metadata(output);
    if !found.is_ok_and(|found| found.is_file()) {
        bail!("the command left no file {}; mend `output` in the manifest", output.display());
    }
    if output == file || same(output, file).unwrap_or(false) {
        return Ok(());
    }
    let folder = file.parent().context("the component has no folder")?;
    let copy = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let temporary = tempfile::NamedTempFile::new_in(folder)?;
        // Takes the permissions along: a temporary file's own would keep others from reading it.
        fs::copy(output, temporary.path())?;
        temporary.persist(file)?;
        Ok(())
    };
    copy().with_context(|| format!("can't copy {} to {}", output.display(), file.display()))
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::metadata(one)?.len() == fs::metadata(other)?.len() && fs::read(one)? == fs::read(other)?)
}

#[cfg(test)]
mod tests;
