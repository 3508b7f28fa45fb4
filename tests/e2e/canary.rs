//! Canaries: a version that is worse is rolled back by itself, one that is fine is promoted, and nobody
//! loses a connection by either.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;

use crate::support::{App, Connection, Guest, Load, Service, Version, eventually, generation};

/// What a canary is watched for at most; worse ones are found earlier.
const WATCHED: &str = "60s";

/// Clients, each with a new connection for every request.
const CLIENTS: usize = 8;

/// A version whose requests go as the environment says.
fn version(number: u32, guest: Guest, keys: &str, environment: &str) -> App {
    let keys = format!("workers = 2\n{keys}\nenvironment = {{ {environment} }}");
    App::new("probe").version(&format!("0.{number}.0")).worker(guest, &keys)
}

/// A service in which version 0.1.0 serves, and where. It asked for any port; the versions that follow ask
/// for that one.
async fn serving(guest: Guest, balance: &str) -> (Service, SocketAddr) {
    let service = Service::new();
    let first = service.write(&version(1, guest, &format!("balance = \"{balance}\""), ""));
    service.start(&[&first]).await;
    let addr = service.addr_of("probe").await;
    (service, addr)
}

/// The state of each generation, by number.
async fn states(service: &Service) -> Vec<String> {
    let status = service.status().await;
    let generations = status["apps"][0]["generations"].as_array().unwrap();
    generations.iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

async fn history(service: &Service) -> Vec<Value> {
    service.history("probe").await["history"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_that_is_fine_is_promoted() {
    for (guest, balance) in [(Guest::ProbeP3, "round-robin"), (Guest::ProbeP2, "least-connections")] {
        let (service, addr) = serving(guest, balance).await;
        let keys = format!("listen = \"{addr}\"\nbalance = \"{balance}\"");
        let folder = service.write_to("2", &version(2, guest, &keys, ""));
        let keeping = Load::start(addr, Version::H1, CLIENTS);
        let counted = async {
            eventually("a canary", async || states(&service).await.iter().any(|s| s == "canary")).await;
            let mut new = 0;
            for _ in 0..100 {
                new += usize::from(generation(addr).await == 2);
            }
            assert!(states(&service).await.iter().any(|s| s == "canary"), "it took too long to count");
            new
        };
        let deploy = ["deploy", &folder, "--canary", "20", "--for", "5s", "--wait"];
        let (said, new) = tokio::join!(service.ok(&deploy), counted);
        assert_eq!(new, 20, "{balance}");
        assert_eq!(said, format!("ready app=probe addr={addr}\n"));
        for _ in 0..20 {
            assert_eq!(generation(addr).await, 2);
        }
        keeping.goes_on(100).await;
        assert_eq!(keeping.end().await, [""; 0]);
        assert_eq!(history(&service).await.last().unwrap()["failure"], Value::Null);
        assert_eq!(states(&service).await, ["serving"]);
    }
}

/// Deploys a version that does this, and gives what its clients got that was no 200.
async fn is_taken_back(guest: Guest, environment: &str, reason: &str) -> Vec<String> {
    let (service, addr) = serving(guest, "round-robin").await;
    let before = service.processes();
    let keys = format!("listen = \"{addr}\"");
    let folder = service.write_to("2", &version(2, guest, &keys, environment));
    let keeping = Load::start(addr, Version::H1, CLIENTS);
    let visiting = Load::of_new_connections(addr, CLIENTS);
    visiting.goes_on(100).await;
    let begun = std::time::Instant::now();
    let error = service.fails(&["deploy", &folder, "--canary", "20", "--for", WATCHED, "--wait"]).await;
    let (took, answered) = (begun.elapsed(), visiting.answered());
    let expected = "the canary is worse: ";
    assert!(error.contains(expected) && error.contains(reason), "{environment}: {error}");
    assert!(service.log().contains("; version 0.1.0 (generation 1) goes on serving"), "{error}");
    for _ in 0..20 {
        assert_eq!(generation(addr).await, 1, "{environment}");
    }
    // The one that was worse drains, and is gone.
    eventually("its end", async || service.processes() == before).await;
    visiting.goes_on(100).await;
    keeping.goes_on(100).await;
    assert_eq!(keeping.end().await, [""; 0], "of the connections that were there before");
    let failures = visiting.end().await;
    println!("{environment}: rolled back after {took:?}; {} failed of {answered}", failures.len());
    let entries = history(&service).await;
    let failure = entries.last().unwrap()["failure"].as_str().unwrap();
    assert!(failure.contains(expected) && failure.contains(reason), "{failure}");
    let shown = service.ok(&["history", "probe"]).await;
    assert!(shown.lines().last().unwrap().contains(expected), "{shown}");
    // After a restart it is still the old one.
    service.ok(&["restart"]).await;
    assert!(service.ok(&["status"]).await.contains("0.1.0"));
    failures
}

#[tokio::test]
async fn one_that_fails_every_20th_request_is_rolled_back() {
    for guest in Guest::PROBES {
        let failures = is_taken_back(guest, "FAIL_EVERY = \"20\"", "of its responses are errors (5xx)").await;
        assert!(failures.len() >= 3, "{failures:?}");
        assert!(failures.iter().all(|failure| failure == "500 asked to fail\n"), "{failures:?}");
    }
}

#[tokio::test]
async fn one_that_traps_is_rolled_back() {
    let failures = is_taken_back(Guest::ProbeP3, "TRAP_EVERY = \"20\"", "its guest failed: ").await;
    assert!(!failures.is_empty());
    assert!(failures.iter().all(|failure| failure.starts_with("500 ")), "{failures:?}");
}

#[tokio::test]
async fn one_that_is_slow_is_rolled_back() {
    let failures = is_taken_back(Guest::ProbeP3, "SLOW = \"200\"", "its p99 is ").await;
    assert_eq!(failures, [""; 0]);
}

#[tokio::test]
async fn without_wait_it_returns_when_it_has_begun() {
    let (service, addr) = serving(Guest::ProbeP3, "round-robin").await;
    let keys = format!("listen = \"{addr}\"");
    let folder = service.write_to("2", &version(2, Guest::ProbeP3, &keys, ""));
    let begun = std::time::Instant::now();
    let said = service.ok(&["deploy", &folder, "--canary", "50", "--for", "5s"]).await;
    assert!(said.contains("canary: 50 % of new connections for 5 s"), "{said}");
    assert!(states(&service).await.contains(&"canary".to_owned()), "after {:?}", begun.elapsed());
    // All that it costs the master is a look every second, and heartbeats.
    let (master, span) = (service.master().unwrap(), Duration::from_secs(2));
    let slept = master.sleeps();
    tokio::time::sleep(span).await;
    let slept = master.sleeps() - slept;
    println!("the master woke {slept} times in {span:?}");
    assert!(slept < 300, "the master woke {slept} times in {span:?}");
    // Another job for the app has to wait.
    let error = service.fails(&["reload", "probe"]).await;
    assert!(error.contains("something else is being done with probe"), "{error}");
    eventually("its promotion", async || states(&service).await == ["serving"]).await;
    assert_eq!(generation(addr).await, 2);
    assert!(begun.elapsed() >= Duration::from_secs(5));
    eventually("its entry", async || history(&service).await.last().unwrap()["version"] == "0.2.0").await;
}

#[tokio::test]
async fn what_can_not_be_shared_is_refused() {
    let (service, addr) = serving(Guest::ProbeP3, "shared").await;
    let processes = service.processes();
    for (balance, reason) in [
        ("shared", "a canary needs the master to hand out connections"),
        ("round-robin", "a canary can't change `listen` or `balance`"),
    ] {
        let keys = format!("listen = \"{addr}\"\nbalance = \"{balance}\"");
        let folder = service.write_to("2", &version(2, Guest::ProbeP3, &keys, ""));
        let error = service.fails(&["deploy", &folder, "--canary", "20", "--wait"]).await;
        assert!(error.contains(reason), "{error}");
        assert_eq!(service.processes(), processes);
        assert!(history(&service).await.last().unwrap()["failure"].as_str().unwrap().contains(reason));
    }
    assert_eq!(generation(addr).await, 1);
}

#[tokio::test]
async fn a_stop_meanwhile_stops() {
    let (service, addr) = serving(Guest::ProbeP3, "round-robin").await;
    let keys = format!("listen = \"{addr}\"");
    let folder = service.write_to("2", &version(2, Guest::ProbeP3, &keys, ""));
    service.ok(&["deploy", &folder, "--canary", "20", "--for", WATCHED]).await;
    let mut open = Connection::open(addr, Version::H1).await;
    assert_eq!(open.get("/hello").await.status, 200);
    service.ok(&["stop"]).await;
    assert_eq!(service.processes(), []);
    // It was never promoted: the old one comes back.
    service.start(&[]).await;
    assert!(service.ok(&["status"]).await.contains("0.1.0"));
}

#[tokio::test]
async fn a_rollback_or_an_undeploy_ends_it_early() {
    let (service, addr) = serving(Guest::ProbeP3, "round-robin").await;
    let keys = format!("listen = \"{addr}\"");
    let folder = service.write_to("2", &version(2, Guest::ProbeP3, &keys, ""));
    let before = service.processes();
    for (verb, left) in [("rollback", &["serving"][..]), ("undeploy", &[])] {
        let watched = ["deploy", &folder, "--canary", "20", "--for", "1h", "--wait"];
        let ending = async {
            eventually("a canary", async || states(&service).await.iter().any(|s| s == "canary")).await;
            service.ok(&[verb, "probe"]).await;
        };
        let (error, ()) = tokio::join!(service.fails(&watched), ending);
        assert!(error.contains(&format!("it was ended by `{verb}` (uid ")), "{error}");
        let apps = service.status().await["apps"].as_array().unwrap().clone();
        assert_eq!(apps.len(), left.len(), "{verb}");
        let entries = history(&service).await;
        let canary = entries.iter().rev().find(|entry| entry["version"] == "0.2.0").unwrap();
        assert!(canary["failure"].as_str().unwrap().contains(verb), "{canary}");
        if verb == "rollback" {
            // What served is what it went back to, not the version before that.
            eventually("the end of its processes", async || service.processes() == before).await;
            assert_eq!(states(&service).await, left);
            assert_eq!(generation(addr).await, 1);
        }
    }
    // Nothing is held any more.
    service.ok(&["store", "prune"]).await;
}

/// It would start for 30 s yet.
#[tokio::test]
async fn what_has_not_started_ends_for_a_rollback_too() {
    let (service, addr) = serving(Guest::ProbeP3, "round-robin").await;
    let before = service.processes();
    let keys = format!("listen = \"{addr}\"");
    let hangs = service.write_to("2", &version(2, Guest::ProbeP3, &keys, "START = \"hang\""));
    let ending = async {
        eventually("its start", async || states(&service).await.iter().any(|s| s == "coming")).await;
        service.ok(&["rollback", "probe"]).await;
    };
    let begun = std::time::Instant::now();
    let deploy = ["deploy", &hangs];
    let (error, ()) = tokio::join!(service.fails(&deploy), ending);
    assert!(error.contains("it was ended by `rollback`"), "{error}");
    eventually("the end of its processes", async || service.processes() == before).await;
    println!("ended after {:?}", begun.elapsed());
    assert_eq!(generation(addr).await, 1);
}
