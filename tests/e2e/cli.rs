//! The command line: what it changes of the manifests, and the verbs beside `run`.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{App, Cluster, DEADLINE, Guest, Probe, eventually, get, gone, hatchery};

/// A folder with the app in it.
fn folder_of(app: &App) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    app.write(folder.path());
    folder
}

#[tokio::test]
async fn options_change_the_manifest() {
    let one = App::new("one").worker(Guest::ProbeP3, "workers = 1\nlisten = \"127.0.0.1:1\"");
    let two = App::new("two").worker(Guest::ProbeP3, "workers = 1\nlisten = \"127.0.0.1:2\"");
    let arguments = [
        ["--workers", "3"],
        ["--listen", "127.0.0.1:0"],
        ["--listen", "two=127.0.0.1:0"],
        ["--balance", "least-connections"],
    ];
    let cluster = Cluster::start_with(&[one, two], &arguments.concat()).await;
    for app in ["one", "two"] {
        let probes = Probe::each(cluster.addr_of(app), 3).await;
        assert!(probes.iter().all(|probe| probe.slot < 3));
        assert_eq!(cluster.processes_of(&format!("worker {app}/")).len(), 3);
    }
}

#[tokio::test]
async fn run_starts_what_goes_with_it_in_development() {
    let app = App::new("front").worker(Guest::HelloP3, "").more("[dev]\nwith = [\"../back\"]");
    let back = App::new("back").worker(Guest::ProbeP3, "").beside();
    let cluster = Cluster::start(&[app, back]).await;
    assert_eq!(get(cluster.addr_of("front"), "/").await.text(), "Hello, world");
    assert_eq!(get(cluster.addr_of("back"), "/hello").await.text(), "hello\n");
}

#[tokio::test]
async fn run_builds_what_is_missing() {
    // A build command that writes the component, as a compiler would.
    let wasm = Guest::HelloP3.wasm();
    let build = r#"workers = 1
[worker.build]
command = "./build.sh 'of two words'"
output = "out/built.wasm""#;
    let script = "#!/bin/sh\nset -e\n[ \"$1\" = 'of two words' ]\necho building it\nmkdir -p out\ncp from.wasm out/built.wasm\n";
    let app = App::new("built").unbuilt_worker(build).file("build.sh", script).file("from.wasm", wasm);
    let mut cluster = Cluster::prepare(&[app]);
    let file = cluster.folder("built").join("build.sh");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    cluster.launch(&[]);
    cluster.ready().await;
    assert_eq!(get(cluster.addr(), "/").await.text(), "Hello, world");
    // What the command prints does not get into what is for machines.
    assert_eq!(cluster.stdout.all(), format!("ready app=built addr={}\n", cluster.addr()));
    assert!(cluster.log.count("building it") == 1);
}

#[tokio::test]
async fn a_signal_while_it_compiles_ends_it() {
    let mut cluster = Cluster::spawn(&[App::probe(Guest::ProbeP3, 1)], &[]);
    // At whatever point of the start this comes.
    eventually("a first line", async || !cluster.log.all().is_empty()).await;
    cluster.master().signal(Signal::SIGINT);
    let status = cluster.ended(DEADLINE).await;
    assert_eq!(status.code(), Some(0), "{status}");
    // The compiler is killed, which takes a moment.
    assert!(gone(&cluster.processes(), Duration::from_secs(1)).await, "{:?}", cluster.processes());
}

#[test]
fn check_says_what_a_component_is() {
    let folder = folder_of(&App::probe(Guest::ProbeP3, 1).agent(Guest::ProbeP2, ""));
    let done = hatchery(folder.path(), &["check", "--json", "."]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let checked: Value = serde_json::from_str(&done.stdout).unwrap();
    let components = checked[0]["components"].as_array().unwrap();
    let exports: Vec<String> = components.iter().map(|component| component["exports"].to_string()).collect();
    assert!(exports.iter().any(|exports| exports.contains("wasi:http/handler@0.3")), "{checked}");
    assert!(exports.iter().any(|exports| exports.contains("wasi:http/incoming-handler@0.2")), "{checked}");
    // Nothing runs: the address may be taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let keys = format!("listen = \"{}\"", taken.local_addr().unwrap());
    let folder = folder_of(&App::new("taken").worker(Guest::HelloP2, &keys));
    let done = hatchery(folder.path(), &["check", "."]);
    assert_eq!((done.code, done.stderr.contains("error")), (Some(0), false), "{done:?}");
}

#[test]
fn check_and_run_refuse_what_is_wrong() {
    let core = App::new("core").worker_wasm(wat::parse_str("(module)").unwrap(), "");
    let unknown = App::new("unknown").worker(Guest::HelloP3, "wrokers = 2");
    for (app, texts) in
        [(core, ["core module", "worker.wasm"]), (unknown, ["unknown key `wrokers`", "hatchery.toml"])]
    {
        let folder = folder_of(&app);
        for verb in ["check", "run"] {
            let done = hatchery(folder.path(), &[verb, "."]);
            assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{verb}: {done:?}");
            assert!(texts.iter().all(|text| done.stderr.contains(text)), "{verb}: {}", done.stderr);
        }
    }
}

#[test]
fn help_has_examples() {
    let folder = tempfile::tempdir().unwrap();
    let verbs = ["run", "check", "build", "push", "pull"].map(|verb| vec![verb, "--help"]);
    for arguments in [vec!["--help"]].into_iter().chain(verbs) {
        let done = hatchery(folder.path(), &arguments);
        assert_eq!(done.code, Some(0));
        assert!(done.stdout.contains("Examples:\n"), "{arguments:?}: {}", done.stdout);
    }
}

#[test]
fn what_only_the_master_starts_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for role in ["worker", "agent", "compiler"] {
        let done = hatchery(folder.path(), &[role, "1"]);
        assert!(done.code != Some(0), "{role}: {done:?}");
    }
}
