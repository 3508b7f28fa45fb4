//! What an app asks for, as a flat list, and what differs between two bundles. Pure: called by `inspect`,
//! and by a deploy that shows what it changes.
//!
//! The list is made of the app's serialized form, so that a key that is new in the manifest shows up
//! without anything to do here.

use std::{collections::BTreeMap, fmt, time::Duration};

use bytesize::ByteSize;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Index;
use crate::manifest::{App, Limits};

/// One difference between two bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// A key as in `worker.listen`, or `file worker.wasm`.
    pub what: String,
    /// None where it was not there, or was the default.
    pub before: Option<String>,
    /// None where it is no longer there, or is the default.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "~ {}: {before} -> {after}", self.what),
            (Some(before), None) => write!(f, "- {}: {before}", self.what),
            (None, after) => write!(f, "+ {}: {}", self.what, after.as_deref().unwrap_or_default()),
        }
    }
}

/// Stands for the value of an environment variable, which may be a secret.
const HIDDEN: &str = "(a value)";

/// What the app asks for: the manifest's keys with their values. Limits are there where they differ from
/// the defaults; of the environment there are only the names.
#[must_use]
pub fn asks(app: &App) -> BTreeMap<String, String> {
    let hide = |(key, value): (String, String)| {
        if is_secret(&key) { (key, HIDDEN.to_owned()) } else { (key, value) }
    };
    flat(app).into_iter().map(hide).collect()
}

/// All that differs between two bundles: version, what they ask for, and files.
#[must_use]
pub fn changes(before: (&App, &Index), after: (&App, &Index)) -> Vec<Change> {
    let mut found = Vec::new();
    let version = |app: &App| BTreeMap::from([("version".to_owned(), app.version.clone())]);
    compare(&version(before.0), &version(after.0), &mut found);
    compare(&flat(before.0), &flat(after.0), &mut found);
    compare(&files(before.1), &files(after.1), &mut found);
    for change in found.iter_mut().filter(|change| is_secret(&change.what)) {
        for value in [&mut change.before, &mut change.after].into_iter().flatten() {
            HIDDEN.clone_into(value);
        }
    }
    found
}

fn is_secret(key: &str) -> bool {
    key.starts_with("worker.environment.") || key.starts_with("agent.environment.")
}

fn compare(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>, found: &mut Vec<Change>) {
    let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let (before, after) = (before.get(key), after.get(key));
        if before != after {
            found.push(Change { what: key.clone(), before: before.cloned(), after: after.cloned() });
        }
    }
}

fn files(index: &Index) -> BTreeMap<String, String> {
    // Twelve digits tell files apart for a reader; the size helps too.
    let shown = |file: &super::File| format!("{} bytes, sha256 {}", file.size, &file.sha256.hex()[..12]);
    index.files.iter().map(|file| (format!("file {}", file.path), shown(file))).collect()
}

/// Keys with values. What is only this machine's (paths) and what is not packed (`build`, `dev`) is left out.
fn flat(app: &App) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Value::Object(mut top) = json(app) else { return found };
    for key in ["name", "version", "manifest", "folder", "dev_with"] {
        top.remove(key);
    }
    for (role, component) in app.components() {
        if let Some(Value::Object(table)) = top.get_mut(&role.to_string()) {
            table.remove("component");
            if let Value::Object(capabilities) = json(&component.capabilities) {
                table.extend(capabilities);
            }
            table.remove("folders");
        }
        for folder in &component.capabilities.folders {
            let source = folder.source.strip_prefix(&app.folder).unwrap_or(&folder.source);
            let rights = if folder.writable { "writable" } else { "read-only" };
            let value = format!("{}, {rights}", source.display());
            found.insert(format!("{role}.folders.{}", folder.destination), value);
        }
    }
    top.remove("schedules");
    for schedule in &app.schedules {
        flatten(&format!("schedule.{}", schedule.name), &without("name", json(schedule)), &mut found);
    }
    let defaults = json(&Limits::default());
    if let Some(Value::Object(limits)) = top.get_mut("limits") {
        limits.retain(|key, value| defaults.get(key) != Some(value));
    }
    for (key, value) in &top {
        flatten(&kebab(key), value, &mut found);
    }
    found
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn without(key: &str, mut value: Value) -> Value {
    if let Value::Object(table) = &mut value {
        table.remove(key);
    }
    value
}

fn kebab(key: &str) -> String {
    key.replace('_', "-")
}

fn flatten(key: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let text = match value {
        Value::Null => return,
        Value::Object(table) => {
            if let Some(duration) = duration(table) {
                humantime::format_duration(duration).to_string()
            } else {
                for (name, value) in table {
                    // An environment variable is called as it is.
                    let name = if key.ends_with(".environment") { name.clone() } else { kebab(name) };
                    flatten(&format!("{key}.{name}"), value, found);
                }
                return;
            }
        }
        Value::Array(values) if values.is_empty() => return,
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Number(number) if is_size(key) => number
            .as_u64()
            .map_or_else(|| number.to_string(), |bytes| ByteSize(bytes).display().iec().to_string()),
        other => text(other),
    };
    found.insert(key.to_owned(), text);
}

/// Is it in bytes?
fn is_size(key: &str) -> bool {
    ["memory", "size", "log-rate", "disk"].iter().any(|end| key.ends_with(end))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// As serde writes a [`Duration`].
fn duration(table: &Map<String, Value>) -> Option<Duration> {
    let (secs, nanos) = (table.get("secs")?.as_u64()?, table.get("nanos")?.as_u64()?);
    (table.len() == 2).then(|| Duration::new(secs, u32::try_from(nanos).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        bundle::{Limits, plan},
        manifest::load,
    };

    fn packed(manifest: &str, component: &str) -> (App, Index) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("w.wasm"), component).unwrap();
        let text = format!(
            "name = \"a\"\nversion = \"1\"\n[worker]\ncomponent = \"w.wasm\"\nworkers = 2\nlisten = \"127.0.0.1:1\"\n{manifest}"
        );
        fs::write(folder.path().join("hatchery.toml"), text).unwrap();
        let plan = plan(load(folder.path()).unwrap(), &Limits::default()).unwrap();
        (plan.app, plan.index)
    }

    #[test]
    fn what_is_asked_for() {
        let (app, _) = packed(
            "environment = { KEY_ONE = \"secret\" }\nsecrets = [\"B\", \"A\"]\nallowed-outbound-hosts = [\"https://b.example\"]\n\
             folders = [{ source = \"data\", destination = \"/d\" }]\nrecycle = { age = \"1h\" }\n\
             [[schedule]]\nname = \"tick\"\ninterval = \"10s\"\n[limits]\nmemory = \"64MiB\"\ncpu-limit = \"2s\"\ndisk = \"2GiB\"\n",
            "",
        );
        let asks = asks(&app);
        let expected = [
            ("worker.listen", "127.0.0.1:1"),
            ("worker.workers", "2"),
            ("worker.environment.KEY_ONE", HIDDEN),
            ("worker.secrets", "A, B"),
            ("limits.disk", "2.0 GiB"),
            ("worker.allowed-outbound-hosts", "https://b.example"),
            ("worker.folders./d", "data, read-only"),
            ("worker.recycle.age", "1h"),
            ("schedule.tick.trigger.Interval", "10s"),
            ("limits.memory", "64.0 MiB"),
            ("limits.cpu-limit", "2s"),
        ];
        for (key, value) in expected {
            assert_eq!(asks.get(key).map(String::as_str), Some(value), "{key} in {asks:#?}");
        }
        assert!(!asks.keys().any(|key| key.contains("component") || key == "limits.queue-size"), "{asks:#?}");
    }

    #[test]
    fn what_differs() {
        let before = packed("environment = { KEY = \"old\" }\n[limits]\nmemory = \"64MiB\"\n", "one");
        let after = packed(
            "environment = { KEY = \"new\" }\nallowed-outbound-hosts = [\"http://c.example\"]\n",
            "two",
        );
        let found = changes((&before.0, &before.1), (&after.0, &after.1));
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 5, "{texts:#?}");
        assert_eq!(texts[0], "- limits.memory: 64.0 MiB");
        assert_eq!(texts[1], "+ worker.allowed-outbound-hosts: http://c.example");
        assert_eq!(texts[2], format!("~ worker.environment.KEY: {HIDDEN} -> {HIDDEN}"));
        assert!(texts[3].starts_with("~ file hatchery.toml: "), "{texts:#?}");
        assert!(texts[4].starts_with("~ file worker.wasm: 3 bytes, sha256 "), "{texts:#?}");
        assert!(changes((&before.0, &before.1), (&before.0, &before.1)).is_empty());
    }
}
