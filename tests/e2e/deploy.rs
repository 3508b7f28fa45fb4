//! Deploys under load, and what is left of them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    App, Connection, Guest, Load, Service, Version, colour, empty, eventually, get, request,
};

/// The load that no deploy may disturb.
const CONNECTIONS: usize = 64;

/// How many deploys in a row.
fn deploys() -> u64 {
    std::env::var("HATCHERY_E2E_DEPLOYS").map_or(20, |n| n.parse().expect("a number"))
}

/// Two versions on one address, which differ in what `/env` says.
fn version(number: u32, listen: &str) -> App {
    let keys = format!("workers = 2\nlisten = \"{listen}\"\nenvironment = {{ COLOUR = \"{number}\" }}");
    App::new("probe")
        .version(&format!("0.{number}.0"))
        .worker(Guest::ProbeP3, &keys)
        .agent(Guest::ProbeP3, "")
}

/// Both were deployed, the second last.
struct Versions {
    service: Service,
    addr: std::net::SocketAddr,
    /// Their folders.
    one: String,
    two: String,
}

impl Versions {
    async fn deployed() -> Self {
        let service = Service::new();
        let first = service.write(&version(1, "127.0.0.1:0"));
        service.start(&[&first]).await;
        let addr = service.addr_of("probe").await;
        let folder = |number: u32| service.write_to(&number.to_string(), &version(number, &addr.to_string()));
        let (one, two) = (folder(1), folder(2));
        service.ok(&["deploy", &one]).await;
        service.ok(&["deploy", &two]).await;
        Self { service, addr, one, two }
    }
}

#[tokio::test]
async fn under_load_no_request_is_lost() {
    let Versions { service, addr, one, two } = Versions::deployed().await;
    service.ok(&["store", "prune", "--keep", "1"]).await;
    let master = service.master().unwrap();
    let (processes, fds, stored) = (service.processes().len(), master.fds(), service.stored());

    let load = Load::start(addr, Version::H1, CONNECTIONS);
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let watching = tokio::spawn(watch(addr, Arc::clone(&seen)));
    load.goes_on(500).await;
    for number in 0..deploys() {
        let (folder, expected) = if number % 2 == 0 { (&one, "1") } else { (&two, "2") };
        service.ok(&["deploy", folder, "--allow-downgrade"]).await;
        // From now on, nothing is heard of the other one.
        for _ in 0..8 {
            assert_eq!(colour(addr).await, expected, "after deploy {number}");
        }
        load.goes_on(100).await;
    }
    watching.abort();
    let failures = load.end().await;
    assert!(failures.is_empty(), "{} failures: {failures:?}", failures.len());
    assert_eq!(*seen.lock().unwrap(), ["1", "2"].map(str::to_owned).into());
    service.ok(&["store", "prune", "--keep", "1"]).await;
    eventually("as many processes as before", async || service.processes().len() == processes).await;
    eventually("as many fds as before", async || master.fds() <= fds).await;
    assert_eq!(service.stored(), stored);
}

/// Every answer of a keep-alive client, for as long as it is let.
async fn watch(addr: std::net::SocketAddr, seen: Arc<Mutex<BTreeSet<String>>>) {
    loop {
        let mut connection = Connection::open(addr, Version::H1).await;
        while let Ok(reply) = connection.try_send(request("GET", "/env", empty())).await {
            let colour = reply.json::<Value>()["COLOUR"].as_str().unwrap().to_owned();
            seen.lock().unwrap().insert(colour);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn back_and_forth() {
    let Versions { service, addr, one, .. } = Versions::deployed().await;
    assert_eq!(colour(addr).await, "2");
    service.ok(&["rollback", "probe"]).await;
    assert_eq!(colour(addr).await, "1");
    service.ok(&["rollback", "probe"]).await;
    assert_eq!(colour(addr).await, "2");
    let error = service.fails(&["deploy", &one]).await;
    assert!(error.contains("version 0.1.0 is older than 0.2.0"), "{error}");
    assert_eq!(colour(addr).await, "2");
    let history = service.history("probe").await;
    let entries = history["history"].as_array().unwrap();
    let ends: Vec<_> =
        entries.iter().map(|entry| (entry["action"].as_str(), entry["failure"].is_null())).collect();
    let expected = ["deploy", "deploy", "deploy", "rollback", "rollback"].map(|action| (Some(action), true));
    assert_eq!(ends[..5], expected);
    assert_eq!(ends[5], (Some("deploy"), false));
    // By digest, also shortened; and what was never there is refused.
    let digest = entries[1]["digest"].as_str().unwrap();
    service.ok(&["deploy", &digest[..20], "--allow-downgrade"]).await;
    assert_eq!(colour(addr).await, "1");
    let error = service.fails(&["deploy", "sha256:0000"]).await;
    assert!(error.contains("no bundle in the store"), "{error}");
}

/// What began while the store is pruned might want what goes: it is refused, and goes well after that.
#[tokio::test]
async fn nothing_begins_while_the_store_is_pruned() {
    let Versions { service, addr, one, .. } = Versions::deployed().await;
    // As long as somebody adds, who removes has to wait.
    let lock = std::fs::File::open(service.home().join("store/lock")).unwrap();
    lock.lock_shared().unwrap();
    let meanwhile = async {
        eventually("a storekeeper", async || {
            service.processes().iter().any(|process| process.title.contains("storekeeper"))
        })
        .await;
        for arguments in [
            &["deploy", &one, "--allow-downgrade"][..],
            &["rollback", "probe"],
            &["reload", "probe"],
            &["store", "prune"],
        ] {
            let error = service.fails(arguments).await;
            assert!(error.contains("the store is being pruned"), "{arguments:?}: {error}");
        }
        drop(lock);
    };
    let (pruned, ()) = tokio::join!(service.ok(&["store", "prune", "--keep", "0"]), meanwhile);
    assert!(pruned.starts_with("removed 2 bundles"), "{pruned}");
    assert_eq!(colour(addr).await, "2");
    service.ok(&["deploy", &one, "--allow-downgrade"]).await;
    assert_eq!(colour(addr).await, "1");
}

#[tokio::test]
async fn one_bundle_as_two_apps() {
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP2, 1));
    service.start(&[&app]).await;
    service.ok(&["deploy", &app, "--app", "other"]).await;
    let addr = service.addr_of("other").await;
    assert_ne!(addr, service.addr_of("probe").await);
    assert_eq!(get(addr, "/hello").await.text(), "hello\n");
    let bundles: Value = serde_json::from_str(&service.ok(&["store", "list", "--json"]).await).unwrap();
    assert_eq!(bundles[0]["deployed_as"], serde_json::json!(["other", "probe"]));
    assert!(service.ok(&["store", "verify"]).await.contains("verified 1 bundles"));
}

/// A damaged file is found, and named.
#[tokio::test]
async fn damage_is_found() {
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP2, 1));
    service.start(&[&app]).await;
    let blobs = service.home().join("store/blobs/sha256");
    let blob = std::fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    let mut permissions = std::fs::metadata(&blob).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&blob, permissions).unwrap();
    std::fs::write(&blob, "damaged").unwrap();
    let error = service.fails(&["store", "verify"]).await;
    assert!(error.contains(&*blob.file_name().unwrap().to_string_lossy()), "{error}");
}

/// What a bundle changes against what is deployed, where something is.
#[tokio::test]
async fn what_a_bundle_changes_is_shown() {
    let service = Service::new();
    let [one, two] =
        [1, 2].map(|number| service.write_to(&number.to_string(), &version(number, "127.0.0.1:0")));
    let file = service.folder().join("two.hatchery").display().to_string();
    service.ok(&["pack", &two, "-o", &file]).await;
    let changes = async |more: &[&str]| -> Value {
        let shown = service.ok(&[&["inspect", &file, "--json"], more].concat()).await;
        serde_json::from_str::<Value>(&shown).unwrap()["changes"].clone()
    };
    // Without a service, without the app, and where it was taken away, there is nothing to compare with.
    assert_eq!(changes(&[]).await, Value::Null);
    service.start(&[]).await;
    assert_eq!(changes(&[]).await, Value::Null);
    service.ok(&["deploy", &one]).await;
    let deployed = changes(&[]).await;
    assert_eq!(deployed, changes(&["--against", &one]).await);
    let keys: Vec<_> = deployed.as_array().unwrap().iter().map(|change| &change["what"]).collect();
    assert_eq!(keys, ["version", "worker.environment.COLOUR", "file hatchery.toml"]);
    let shown = service.ok(&["inspect", &file]).await;
    assert!(shown.contains(", which is deployed\n  ~ version: 0.1.0 -> 0.2.0\n"), "{shown}");
    let elsewhere = service.folder().join("elsewhere");
    assert_eq!(changes(&["--home", elsewhere.to_str().unwrap()]).await, Value::Null);
    assert!(!elsewhere.exists(), "it made a home");
    service.ok(&["deploy", &two]).await;
    assert!(service.ok(&["inspect", &file]).await.ends_with(", which is deployed: none\n"));
    service.ok(&["undeploy", "probe"]).await;
    assert_eq!(changes(&[]).await, Value::Null);
    service.ok(&["stop"]).await;
    assert_eq!(changes(&[]).await, Value::Null);
}

/// What the home's policy does not allow is named, and nothing else changes.
#[tokio::test]
async fn a_policy_is_kept() {
    let Versions { service, addr, one, .. } = Versions::deployed().await;
    let policy = service.home().join("policy.toml");
    std::fs::write(&policy, "[any]\nworkers = 1\n").unwrap();
    let error = service.fails(&["deploy", &one, "--allow-downgrade"]).await;
    assert!(
        error.contains("policy.toml does not allow what probe asks for: 2 workers (it allows 1)"),
        "{error}"
    );
    assert_eq!(colour(addr).await, "2");
    std::fs::write(&policy, "[any]\nwork = 1\n").unwrap();
    let error = service.fails(&["rollback", "probe"]).await;
    assert!(error.contains("policy.toml is not right"), "{error}");
    std::fs::write(&policy, "[any]\nworkers = 1\n[app.probe]\nworkers = 2\n").unwrap();
    service.ok(&["deploy", &one, "--allow-downgrade"]).await;
    assert_eq!(colour(addr).await, "1");
}
