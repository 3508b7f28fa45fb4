//! `hatchery start` and what goes with it: one master to a home, what comes back, and what is said.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{App, Guest, Service, eventually, get, gone};

#[tokio::test]
async fn it_starts_serves_stops_and_comes_back() {
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP3, 2));
    let printed = service.start(&[&app]).await;
    let addr = service.addr_of("probe").await;
    assert_eq!(printed, format!("ready app=probe addr={addr}\n"));
    assert_eq!(get(addr, "/hello").await.text(), "hello\n");

    let processes = service.processes();
    service.ok(&["stop"]).await;
    assert!(gone(&processes, Duration::from_secs(1)).await, "{processes:?}");
    assert!(service.fails(&["stop"]).await.contains("no hatchery runs with the home"));

    // What was deployed is back, from the store: its folder is no longer needed.
    fs::remove_dir_all(&app).unwrap();
    let printed = service.start(&[]).await;
    let addr = service.addr_of("probe").await;
    assert_eq!(printed, format!("ready app=probe addr={addr}\n"));
    assert_eq!(get(addr, "/hello").await.text(), "hello\n");

    service.ok(&["restart"]).await;
    let addr = service.addr_of("probe").await;
    assert_eq!(get(addr, "/hello").await.text(), "hello\n");
}

#[tokio::test]
async fn one_master_to_a_home() {
    let service = Service::new();
    service.start(&[]).await;
    let first = service.master().unwrap().id;
    for again in [&["start"][..], &["start", "--foreground"]] {
        let error = service.fails(again).await;
        assert!(error.contains(&format!("pid {first} runs already")), "{error}");
    }
    assert_eq!(service.master().unwrap().id, first);
    // A socket that a killed master left is no obstacle.
    service.master().unwrap().signal(Signal::SIGKILL);
    eventually("the master's end", async || service.master().is_none()).await;
    assert!(service.home().join("hatchery.sock").exists());
    assert!(service.fails(&["status"]).await.contains("no hatchery runs"));
    service.start(&[]).await;
    assert_ne!(service.master().unwrap().id, first);
}

#[tokio::test]
async fn a_home_of_another_layout_is_refused() {
    let service = Service::new();
    fs::write(service.home().join("version"), "2\n").unwrap();
    let error = service.fails(&["start"]).await;
    assert!(error.contains("has layout \"2\""), "{error}");
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing() {
    let service = Service::new();
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\nmemory = \"1MiB\"");
    let app = service.write(&app);
    let error = service.fails(&["start", &app]).await;
    assert!(error.contains("cannot deploy probe:") && error.contains("memory"), "{error}");
    assert_eq!(service.processes(), []);
}

#[tokio::test]
async fn what_cant_come_back_does_not_keep_others_from_it() {
    let service = Service::new();
    let good = service.write(&App::new("good").worker(Guest::ProbeP3, "workers = 1"));
    let bad = service.write(&App::new("bad").worker(Guest::ProbeP3, "workers = 1"));
    service.start(&[&good, &bad]).await;
    let taken = service.addr_of("bad").await;
    let bad = App::new("bad").worker(Guest::ProbeP3, &format!("workers = 1\nlisten = \"{taken}\""));
    let bad = service.write(&bad);
    service.ok(&["deploy", &bad]).await;
    service.ok(&["stop"]).await;
    let _squatter = std::net::TcpListener::bind(taken).unwrap();
    let error = service.fails(&["start"]).await;
    assert!(error.contains("app=bad") && error.contains("address in use"), "{error}");
    let addr = service.addr_of("good").await;
    assert_eq!(get(addr, "/hello").await.text(), "hello\n");
    let status = service.status().await;
    assert_eq!(status["failed"][0]["name"], "bad", "{status}");
}

/// It keeps neither the master nor the other apps from anything; only what is to go can't be told.
#[tokio::test]
async fn a_damaged_record_is_one_apps_affair() {
    let service = Service::new();
    let app = |name| service.write(&App::new(name).worker(Guest::ProbeP3, "workers = 1"));
    let (good, bad) = (app("good"), app("bad"));
    service.start(&[&good, &bad]).await;
    service.ok(&["stop"]).await;
    let record = service.home().join("apps/bad/app.json");
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    let error = service.fails(&["start"]).await;
    assert!(error.contains("app=bad") && error.contains("app.json is damaged"), "{error}");
    assert_eq!(get(service.addr_of("good").await, "/hello").await.text(), "hello\n");
    let status = service.status().await;
    assert_eq!(status["failed"][0]["name"], "bad", "{status}");
    assert!(status["failed"][0]["reason"].as_str().unwrap().contains("app.json is damaged"), "{status}");

    service.ok(&["deploy", &good]).await;
    let digest = service.history("good").await["deployed"]["digest"].as_str().unwrap().to_owned();
    service.ok(&["deploy", &digest]).await;
    assert!(service.ok(&["store", "list"]).await.contains("deployed as good"));
    assert!(service.fails(&["store", "prune"]).await.contains("app.json is damaged"));

    fs::write(&record, &whole).unwrap();
    service.ok(&["deploy", &bad]).await;
    assert_eq!(service.status().await["failed"], json!([]));
    service.ok(&["store", "prune"]).await;
}

#[tokio::test]
async fn scaled_and_reloaded() {
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP3, 1));
    service.start(&[&app]).await;
    let workers = || service.processes().iter().filter(|one| one.title.contains("worker")).count();
    service.ok(&["scale", "probe", "3"]).await;
    assert_eq!(workers(), 3);
    service.ok(&["reload"]).await;
    assert_eq!(workers(), 3);
    // The user's number outlives the manifest's, and the master.
    service.ok(&["deploy", &app]).await;
    assert_eq!(workers(), 3);
    service.ok(&["restart"]).await;
    assert_eq!(workers(), 3);
    service.ok(&["scale", "probe", "1"]).await;
    eventually("one worker", async || workers() == 1).await;
    for (arguments, error) in [
        (&["scale", "nobody", "2"][..], "no app nobody is deployed"),
        (&["reload", "nobody"], "no app nobody is deployed"),
        (&["undeploy", "nobody"], "no app nobody is deployed"),
        (&["rollback", "probe"], "no other bundle of probe was deployed before"),
        (&["history", "nobody"], "nothing was ever deployed as nobody"),
    ] {
        let said = service.fails(arguments).await;
        assert!(said.contains(error), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn undeployed_it_is_gone_for_good() {
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP3, 1));
    service.start(&[&app]).await;
    service.ok(&["undeploy", "probe"]).await;
    assert_eq!(service.processes().len(), 1, "{:?}", service.processes());
    service.ok(&["restart"]).await;
    assert_eq!(service.status().await["apps"], json!([]));
    let history = service.history("probe").await;
    assert_eq!(history["history"][1]["action"], "undeploy");
    assert_eq!(history["deployed"], json!(null));
}
