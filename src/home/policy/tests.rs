//! What is asked for and what is refused, as tables.

use std::{collections::BTreeSet, fs};

use super::*;
use crate::manifest::{self, every_key};

const POLICY: &str = "
    [any]
    workers = 4
    memory = '128MiB'
    listen = ['127.0.0.1', '[::1]:8000-8999', '0.0.0.0:80']
    outbound-hosts = ['https://*.example.com']
    writable-folders = false

    [app.public]
    outbound-hosts = ['*://localhost:*', 'http://10.0.0.1', 'https://a.com']
    outbound-private = false

    [app.big]
    workers = 64
    listen = []
";

fn app(name: &str, worker: &str, limits: &str) -> App {
    written(name, &format!("{worker}\n[limits]\n{limits}"))
}

fn written(name: &str, worker: &str) -> App {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.wasm"), "").unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let text = format!("name = '{name}'\nversion = '1'\n[worker]\ncomponent = 'w.wasm'\n{worker}\n");
    fs::write(folder.path().join("hatchery.toml"), text).unwrap();
    manifest::load(folder.path()).unwrap()
}

#[test]
fn what_is_asked_for_as_a_table() {
    let policy: Policy = toml::from_str(POLICY).unwrap();
    let local = "listen = '127.0.0.1:0'\nworkers = 1\n";
    for (name, worker, limits, refused) in [
        ("small", local.to_owned(), "memory = '128MiB'", None),
        (
            "small",
            local.replace("workers = 1", "workers = 5"),
            "memory = '1MiB'",
            Some("5 workers (it allows 4)"),
        ),
        (
            "big",
            local.replace("workers = 1", "workers = 5"),
            "memory = '1MiB'",
            Some("to listen on 127.0.0.1:0 (it allows none)"),
        ),
        ("small", local.to_owned(), "memory = '129MiB'", Some("of memory (it allows 128.0 MiB)")),
        ("small", local.replace("127.0.0.1:0", "[::1]:8500"), "memory = '1MiB'", None),
        (
            "small",
            local.replace("127.0.0.1:0", "[::1]:9000"),
            "memory = '1MiB'",
            Some("to listen on [::1]:9000"),
        ),
        (
            "small",
            local.replace("127.0.0.1:0", "0.0.0.0:81"),
            "memory = '1MiB'",
            Some("to listen on 0.0.0.0:81"),
        ),
        (
            "small",
            format!("{local}allowed-outbound-hosts = ['https://api.example.com']"),
            "memory = '1MiB'",
            None,
        ),
        (
            "small",
            format!("{local}allowed-outbound-hosts = ['http://api.example.com']"),
            "memory = '1MiB'",
            Some("requests of the worker to http://api.example.com"),
        ),
        ("public", format!("{local}allowed-outbound-hosts = ['https://a.com']"), "memory = '1MiB'", None),
        (
            "public",
            format!("{local}allowed-outbound-hosts = ['http://localhost']"),
            "memory = '1MiB'",
            Some("requests of the worker to http://localhost (it allows no host such as localhost"),
        ),
        (
            "public",
            format!("{local}allowed-outbound-hosts = ['http://10.0.0.1']"),
            "memory = '1MiB'",
            Some("requests of the worker to http://10.0.0.1"),
        ),
        (
            "small",
            format!("{local}folders = [{{ source = 'data', destination = '/d', writable = true }}]"),
            "memory = '1MiB'",
            Some("the worker to write to the folder /d"),
        ),
        (
            "small",
            format!("{local}folders = [{{ source = 'data', destination = '/d' }}]"),
            "memory = '1MiB'",
            None,
        ),
    ] {
        let checked = policy.check(&app(name, &worker, limits)).map_err(|error| error.to_string());
        match (refused, checked) {
            (None, checked) => assert_eq!(checked, Ok(()), "{worker}"),
            (Some(part), checked) => {
                let error = checked.expect_err(part);
                assert!(error.contains(part), "{error}");
            }
        }
        Policy::default().check(&app(name, &worker, limits)).unwrap();
    }
}

#[test]
fn outbound_as_a_table() {
    let policy: Policy = toml::from_str(POLICY).unwrap();
    for (app, hosts, private) in [
        ("small", &["https://*.example.com"][..], true),
        ("big", &["https://*.example.com"], true),
        ("public", &["*://localhost:*", "http://10.0.0.1", "https://a.com"], false),
    ] {
        let hosts = Some(hosts.iter().map(|host| host.parse().unwrap()).collect());
        assert_eq!(policy.outbound(app), OutboundPolicy { hosts, private }, "{app}");
    }
    assert_eq!(Policy::default().outbound("a"), OutboundPolicy { hosts: None, private: true });
}

#[test]
fn files_as_a_table() {
    for (text, right) in [
        ("", true),
        ("[any]\nlisten = ['127.0.0.1:80-']", false),
        ("[any]\nlisten = ['localhost']", false),
        ("[any]\nlisten = ['127.0.0.1:9000-8000']", false),
        ("[any]\nlisten = ['127.0.0.1:9000-9000']", true),
        ("[any]\nwrokers = 1", false),
        ("[app.a]\nmemory = '1GiB'", true),
        ("workers = 1", false),
    ] {
        assert_eq!(toml::from_str::<Policy>(text).is_ok(), right, "{text}");
    }
}

/// A manifest that asks for a key, and the rule of a policy that refuses it; or why no policy does.
enum Decision {
    Bounded(&'static str, &'static str),
    Free(&'static str),
}

/// Every key of a manifest. One that is new belongs here, with its decision.
const DECISIONS: &[(&str, &str, Decision)] = {
    use Decision::{Bounded, Free};
    const TABLE: Decision = Free("a table: its keys count");
    const NO_BUNDLE: Decision = Free("no bundle has it");
    const OWN_DEPLOY: Decision = Free("takes time of its own deploy alone");
    const OWN_SCHEDULE: Decision = Free("how many there are is bounded");
    const OWN_PROCESSES: Decision = Free("its own processes alone feel it, one after the other");
    &[
        ("top", "name", Free("the rules hang on it")),
        ("top", "version", Free("for people")),
        ("top", "worker", TABLE),
        ("top", "agent", TABLE),
        ("top", "schedule", Bounded("[[schedule]]\nname = 's'\ninterval = '1m'", "schedules = 0")),
        ("top", "limits", TABLE),
        ("top", "dev", TABLE),
        ("top", "deploy", TABLE),
        ("top", "test", TABLE),
        ("worker", "component", Free("compiled within compile-time")),
        ("worker", "listen", Bounded("", "listen = []")),
        ("worker", "workers", Bounded("workers = 2", "workers = 1")),
        ("worker", "balance", OWN_PROCESSES),
        ("worker", "instance", OWN_PROCESSES),
        ("worker", "concurrency", Bounded("concurrency = 2", "concurrency = 1")),
        ("worker", "queued-requests", Bounded("queued-requests = 1", "queued-requests = 0")),
        ("worker", "connections", Bounded("connections = 2", "connections = 1")),
        ("worker", "environment", Bounded("environment = { KEY = 'v' }", "environment = ['OTHER']")),
        (
            "worker",
            "allowed-outbound-hosts",
            Bounded("allowed-outbound-hosts = ['http://a.example']", "outbound-hosts = []"),
        ),
        (
            "worker",
            "folders",
            Bounded(
                "folders = [{ source = 'data', destination = '/d', writable = true }]",
                "writable-folders = false",
            ),
        ),
        ("worker", "build", NO_BUNDLE),
        ("worker", "recycle", TABLE),
        ("worker", "secrets", Bounded("secrets = ['KEY']", "secrets = ['OTHER_*']")),
        ("agent", "component", Free("compiled within compile-time")),
        (
            "agent",
            "environment",
            Bounded("[agent]\ncomponent = 'w.wasm'\nenvironment = { KEY = 'v' }", "environment = []"),
        ),
        (
            "agent",
            "allowed-outbound-hosts",
            Bounded(
                "[agent]\ncomponent = 'w.wasm'\nallowed-outbound-hosts = ['http://a.example']",
                "outbound-hosts = []",
            ),
        ),
        (
            "agent",
            "folders",
            Bounded(
                "[agent]\ncomponent = 'w.wasm'\nfolders = [{ source = 'data', destination = '/d', writable = true }]",
                "writable-folders = false",
            ),
        ),
        ("agent", "build", NO_BUNDLE),
        ("agent", "secrets", Bounded("[agent]\ncomponent = 'w.wasm'\nsecrets = ['KEY']", "secrets = []")),
        ("build", "command", NO_BUNDLE),
        ("build", "output", NO_BUNDLE),
        ("build", "tools", NO_BUNDLE),
        ("build", "wit", NO_BUNDLE),
        ("build", "live", NO_BUNDLE),
        ("build", "live-command", NO_BUNDLE),
        ("folder", "source", Free("inside of the bundle, or of the app's own folder in the home")),
        ("folder", "destination", Free("a name of its own")),
        ("folder", "writable", Free("see folders")),
        ("schedule", "name", OWN_SCHEDULE),
        ("schedule", "interval", OWN_SCHEDULE),
        ("schedule", "cron", OWN_SCHEDULE),
        ("schedule", "timezone", OWN_SCHEDULE),
        ("schedule", "type", OWN_SCHEDULE),
        ("schedule", "immediate", OWN_SCHEDULE),
        ("schedule", "enabled", OWN_SCHEDULE),
        ("schedule", "overlap", OWN_SCHEDULE),
        ("schedule", "payload", Free("no more than message-size")),
        ("limits", "memory", Bounded("[limits]\nmemory = '2MiB'", "memory = '1MiB'")),
        ("limits", "request-timeout", Bounded("", "request-timeout = '1s'")),
        ("limits", "cpu-limit", Bounded("", "cpu-limit = '100ms'")),
        ("limits", "start-timeout", Bounded("", "start-timeout = '1s'")),
        ("limits", "stop-timeout", Bounded("", "stop-timeout = '1s'")),
        ("limits", "hang-timeout", Bounded("", "hang-timeout = '1s'")),
        ("limits", "message-size", Bounded("", "message-size = '1KiB'")),
        ("limits", "queue-size", Bounded("", "queue-size = '1MiB'")),
        ("limits", "process-memory", Bounded("", "process-memory = '64MiB'")),
        ("limits", "drain-timeout", Bounded("", "drain-timeout = '1s'")),
        ("limits", "trap-limit", Bounded("", "trap-limit = 1")),
        ("limits", "header-size", Bounded("", "header-size = '8KiB'")),
        ("limits", "body-size", Bounded("[limits]\nbody-size = '2GiB'", "body-size = '1GiB'")),
        ("limits", "header-timeout", Bounded("", "header-timeout = '1s'")),
        ("limits", "body-timeout", Bounded("", "body-timeout = '1s'")),
        ("limits", "write-timeout", Bounded("", "write-timeout = '1s'")),
        ("limits", "outbound-connections", Bounded("", "outbound-connections = 1")),
        ("limits", "outbound-size", Bounded("", "outbound-size = '1MiB'")),
        ("limits", "app-memory", Bounded("[limits]\napp-memory = '2GiB'", "app-memory = '1GiB'")),
        ("limits", "message-rate", Bounded("", "message-rate = 100")),
        ("limits", "log-rate", Bounded("", "log-rate = '1KiB'")),
        ("limits", "open-files", Bounded("", "open-files = 100")),
        ("limits", "disk", Bounded("", "disk = '1MiB'")),
        ("limits", "compile-time", Bounded("", "compile-time = '1s'")),
        ("limits", "cpu-weight", Bounded("", "cpu-weight = 50")),
        ("limits", "cpus", Bounded("[limits]\ncpus = 1.5", "cpus = 1.25")),
        ("dev", "with", NO_BUNDLE),
        ("deploy", "health", OWN_DEPLOY),
        ("deploy", "health-status", OWN_DEPLOY),
        ("deploy", "health-timeout", OWN_DEPLOY),
        ("deploy", "health-successes", OWN_DEPLOY),
        ("deploy", "health-within", OWN_DEPLOY),
        ("test", "command", Free("run by who calls `hatchery test`, as that user")),
        ("recycle", "requests", OWN_PROCESSES),
        ("recycle", "age", OWN_PROCESSES),
        ("recycle", "memory", OWN_PROCESSES),
        ("recycle", "handles", OWN_PROCESSES),
    ]
};

/// No key of a manifest escapes: each is refused by a strict rule, or there is a reason why not.
#[test]
fn every_key_has_a_decision() {
    let keys: BTreeSet<(&str, &str)> = every_key().collect();
    let decided: BTreeSet<(&str, &str)> = DECISIONS.iter().map(|(table, key, _)| (*table, *key)).collect();
    assert_eq!(decided, keys, "decide about each key of the manifest");
    for (table, key, decision) in DECISIONS {
        let (manifest, rule) = match decision {
            Decision::Bounded(manifest, rule) => (manifest, rule),
            Decision::Free(why) => {
                assert!(!why.is_empty(), "{table}.{key}");
                continue;
            }
        };
        let local = format!("listen = '127.0.0.1:0'\n{manifest}");
        let app = if local.contains("[limits]") { written("a", &local) } else { app("a", &local, "") };
        let policy: Policy = toml::from_str(&format!("[any]\n{rule}")).unwrap();
        let beyond = policy.beyond(&app);
        let expected = match *table {
            "top" => (*key).to_owned(),
            _ => format!("{table}.{key}"),
        };
        assert!(beyond.iter().any(|one| one.key == expected), "{expected} by {rule}: {beyond:?}");
        // The app's own rule takes its place.
        let other = format!("[any]\n{rule}\n[app.a]\n{}", widest(rule));
        let policy: Policy = toml::from_str(&other).unwrap();
        assert_eq!(policy.beyond(&app), [], "{other}");
    }
}

/// The same rule, which allows everything.
fn widest(rule: &str) -> String {
    let (key, value) = rule.split_once(" = ").unwrap();
    let wide = match value.as_bytes()[0] {
        b'[' => match key {
            "listen" => "['127.0.0.1']",
            "outbound-hosts" => "['http://a.example']",
            _ => "['*']",
        },
        b'f' => "true",
        b'\'' if key.ends_with("timeout") || key.ends_with("time") || key == "cpu-limit" => "'1day'",
        b'\'' => "'8EiB'",
        _ => "1000000000",
    };
    format!("{key} = {wide}")
}

#[test]
fn what_a_manifest_leaves_open_is_asked_for_too() {
    let app = app("a", "listen = '127.0.0.1:0'", "");
    let policy =
        "[any]\nbody-size = '1GiB'\napp-memory = '8EiB'\nprocess-memory = '768MiB'\nopen-files = 100";
    let policy: Policy = toml::from_str(policy).unwrap();
    let found: Vec<String> = policy.beyond(&app).iter().map(ToString::to_string).collect();
    let expected = [
        "open-files of 21024 for the worker (it allows 100)",
        "app-memory = any (it allows 8.0 EiB)",
        "body-size = any (it allows 1.0 GiB)",
    ];
    assert_eq!(found, expected);
}
