//! The manifest's tables -> [`App`]: what each value means, and whether they go together.
//!
//! One file per table. A check notes its mistakes and goes on, with a stand-in where it must, so that one
//! run finds all of them; `load` gives out no app while there is a mistake.

mod capabilities;
mod command;
mod component;
mod deploy;
mod limits;
mod listen;
mod schedule;
mod test;
mod worker;

use std::{
    collections::HashSet,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

pub use capabilities::{MAX_SECRETS, is_secret_name};
pub use limits::{
    APP_MEMORY, BODY_SIZE, BODY_TIMEOUT, COMPILE_TIME, CPU_LIMIT, CPU_WEIGHT, CPUS, DISK, DRAIN_TIMEOUT,
    HANG_TIMEOUT, HEADER_SIZE, HEADER_TIMEOUT, LOG_RATE, MEMORY, MESSAGE_RATE, MESSAGE_SIZE, OPEN_FILES,
    OUTBOUND_CONNECTIONS, OUTBOUND_SIZE, PROCESS_MEMORY, QUEUE_SIZE, REQUEST_TIMEOUT, START_TIMEOUT,
    STOP_TIMEOUT, TRAP_LIMIT, WRITE_TIMEOUT,
};
pub use worker::{CONCURRENCY, CONNECTIONS, QUEUED_REQUESTS, WORKERS};

use super::{Agent, App, document::Section, error::Mistakes, keys::Table, load::Places, path::resolve};

/// The longest name of an app, and of a schedule, in characters; also of a version.
const MAX_NAME: usize = 64;

/// What the checks of a component need to know.
struct Context<'a> {
    /// The app's folder, absolute, without links.
    folder: &'a Path,
    /// Files that decide what a guest may do: it must not be given the right to write them.
    guarded: Vec<PathBuf>,
    /// Folders that a guest may write to, the agent's and the worker's, without links.
    writable: Vec<PathBuf>,
}

/// Checks the whole manifest. `None` comes with at least one mistake; an app may too.
pub(super) fn check(
    document: &DeTable<'_>,
    file: &Path,
    folder: &Path,
    mistakes: &mut Mistakes,
) -> Option<(App, Places)> {
    // A file has no header: what is missing in it is shown at its beginning.
    let top = Section::new(Table::Top, document, 0..0, mistakes);
    let name = name(&top, mistakes);
    let version = version(&top, mistakes);

    let worker_table = top.table("worker", Table::Worker, mistakes);
    let agent_table = top.table("agent", Table::Agent, mistakes);
    if !top.has("worker") && !top.has("agent") {
        let help =
            "add a `[worker]` with a `component` and a `listen` address, or an `[agent]` with a `component`";
        mistakes.at(0..0, "the app has neither a worker nor an agent", help);
    }
    let context = Context {
        folder,
        guarded: [&worker_table, &agent_table]
            .into_iter()
            .flatten()
            .filter_map(|table| table.get("component")?.get_ref().as_str())
            .filter_map(|text| resolve(folder, text).ok())
            .flat_map(|file| [file.canonicalize().ok(), Some(file)])
            .flatten()
            .chain([file.to_owned()])
            .collect(),
        writable: [&worker_table, &agent_table]
            .into_iter()
            .flatten()
            .flat_map(|table| capabilities::writable(table, folder))
            .collect(),
    };
    let worker = worker_table.as_ref().map(|table| worker::worker(table, &context, mistakes));
    let agent = agent_table
        .as_ref()
        .map(|table| component::component(table, &context, mistakes).map(|component| Agent { component }));

    let limits = limits::limits(&top, mistakes);
    let there = schedule::There { worker: top.has("worker"), agent: top.has("agent") };
    let schedules = schedule::schedules(&top, there, &limits, mistakes);
    let deploy = deploy::deploy(&top, mistakes);
    let test = test::test(&top, mistakes);
    let (dev_with, dev_with_places) = dev_with(&top, folder, mistakes);

    let places = Places {
        name: top.get("name").map(toml::Spanned::span).unwrap_or_default(),
        listen: worker_table.and_then(|table| table.get("listen").map(toml::Spanned::span)),
        dev_with: dev_with_places,
    };
    let app = App {
        name: name?,
        version: version?,
        manifest: file.to_owned(),
        folder: folder.to_owned(),
        // A table that is there but wrong must not look like one that is not there.
        worker: worker.map_or(Some(None), |worker| worker.map(Some))?,
        agent: agent.map_or(Some(None), |agent| agent.map(Some))?,
        schedules,
        limits,
        dev_with,
        deploy,
        // As with worker and agent.
        test: test.map_or(Some(None), |test| test.map(Some))?,
    };
    Some((app, places))
}

/// Can an app be called that? 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter.
#[must_use]
pub fn is_app_name(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.len() <= MAX_NAME
}

fn name(top: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<String> {
    top.missing("name", "write `name = \"my-app\"` at the beginning", mistakes);
    let name = top.string("name", mistakes)?;
    let text = name.value;
    if !is_app_name(text) {
        let help =
            format!("write 1 to {MAX_NAME} of `a` to `z`, `0` to `9` and `-`, beginning with a letter");
        mistakes.at(name.span, "this can't be an app's name", help);
    }
    Some(text.to_owned())
}

fn version(top: &Section<'_, '_>, mistakes: &mut Mistakes) -> Option<String> {
    top.missing("version", "write `version = \"0.1.0\"` at the beginning", mistakes);
    let version = top.string("version", mistakes)?;
    let text = version.value;
    let visible = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if !visible || !(1..=MAX_NAME).contains(&text.chars().count()) {
        let help = format!("write 1 to {MAX_NAME} characters without spaces, such as \"0.1.0\"");
        mistakes.at(version.span, "this can't be a version", help);
    }
    Some(text.to_owned())
}

/// The folders of `[dev] with` and their places. Whether they hold manifests is seen when they are loaded.
fn dev_with(
    top: &Section<'_, '_>,
    folder: &Path,
    mistakes: &mut Mistakes,
) -> (Vec<PathBuf>, Vec<Range<usize>>) {
    let Some(dev) = top.table("dev", Table::Dev, mistakes) else { return Default::default() };
    let mut seen = HashSet::new();
    let mut found = (Vec::new(), Vec::new());
    for entry in dev.strings("with", mistakes) {
        match resolve(folder, entry.value) {
            Ok(path) if seen.insert(path.clone()) => {
                found.0.push(path);
                found.1.push(entry.span);
            }
            Ok(_) => mistakes.at(entry.span, "this app is named twice", "leave one out"),
            Err(cause) => {
                mistakes.at(
                    entry.span,
                    cause.to_string(),
                    "name an app's folder, as in `with = [\"../origin\"]`",
                );
            }
        }
    }
    found
}
