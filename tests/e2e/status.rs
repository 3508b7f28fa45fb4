//! `hatchery status`: what it counts is what happened, and outlives who counted it.

use std::{
    collections::BTreeSet,
    fs,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    task::JoinSet,
    time::timeout,
};

use crate::support::{App, DEADLINE, Guest, Probe, Service, eventually, eventually_some, get};

/// What only goes up for as long as the app is there.
const TOTALS: [&str; 7] = ["requests", "errors", "refused", "repeated", "traps", "dropped", "late_answers"];

/// The app alone.
async fn app(service: &Service, name: &str) -> Value {
    let status = service.ok(&["status", name, "--json"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["apps"].as_array().unwrap().len(), 1, "{status}");
    status["apps"][0].clone()
}

fn totals(app: &Value) -> [u64; TOTALS.len()] {
    TOTALS.map(|name| app[name].as_u64().unwrap_or_else(|| panic!("no {name}: {app}")))
}

/// The slot of a role, in what serves.
fn slot<'a>(app: &'a Value, role: &str, slot: u64) -> &'a Value {
    let slots = app["generations"][0]["slots"].as_array().unwrap();
    slots.iter().find(|one| one["role"] == role && one["slot"] == slot).unwrap()
}

/// A worker that is ready there, other than this one.
async fn another(service: &Service, name: &str, number: u64, than: &Value) -> Value {
    eventually_some("another process", async || {
        let app = app(service, name).await;
        let process = &slot(&app, "worker", number)["process"];
        (process["state"] == "ready" && process["pid"] != *than).then(|| app.clone())
    })
    .await
}

#[tokio::test]
async fn totals_outlive_processes_and_generations() {
    let service = Service::new();
    let folder = service.write(&App::probe(Guest::ProbeP3, 2).agent(Guest::ProbeP3, ""));
    service.start(&[&folder]).await;
    let addr = service.addr_of("probe").await;
    for _ in 0..20 {
        assert_eq!(get(addr, "/hello").await.status, 200);
    }
    for _ in 0..2 {
        assert_eq!(get(addr, "/trap").await.status, 500);
    }
    let first = app(&service, "probe").await;
    assert_eq!((&first["requests"], &first["traps"], &first["errors"]), (&22.into(), &2.into(), &2.into()));
    let of_processes: u64 =
        (0..2).map(|number| slot(&first, "worker", number)["process"]["requests"].as_u64().unwrap()).sum();
    assert_eq!(of_processes, 22);

    // Someone looks all the time.
    let watched = Arc::new(service);
    let over = Arc::new(AtomicBool::new(false));
    let watching = {
        let (service, over) = (Arc::clone(&watched), Arc::clone(&over));
        tokio::spawn(async move {
            let (mut last, mut looks) = (totals(&first), 0);
            while !over.load(SeqCst) {
                let now = totals(&app(&service, "probe").await);
                for (name, (before, now)) in TOTALS.iter().zip(last.iter().zip(now)) {
                    assert!(now >= *before, "{name} went from {before} to {now}");
                }
                (last, looks) = (now, looks + 1);
            }
            looks
        })
    };
    let service = &watched;
    let before = app(service, "probe").await;
    let process = slot(&before, "worker", 0)["process"].clone();
    let worker =
        service.processes().into_iter().find(|one| Some(i64::from(one.id)) == process["os_pid"].as_i64());
    worker.expect("it is there").signal(Signal::SIGKILL);
    let after = another(service, "probe", 0, &process["pid"]).await;
    assert_eq!(totals(&after), totals(&before));
    let place = slot(&after, "worker", 0);
    assert_eq!(place["restarts"], 1, "{place}");
    assert!(place["last_exit"].as_str().unwrap().contains("SIGKILL"), "{place}");
    assert_eq!(place["process"]["requests"], 0, "a process counts from its own start");

    service.ok(&["reload", "probe"]).await;
    let after = app(service, "probe").await;
    assert_eq!(after["generation"], 2);
    assert_eq!(totals(&after), totals(&before));
    assert_eq!(after["generations"][0]["requests"], 0, "a generation counts from its own start");
    assert_eq!(get(addr, "/hello").await.status, 200);
    eventually("the next one", async || app(service, "probe").await["requests"] == 23).await;
    over.store(true, SeqCst);
    assert!(watching.await.unwrap() > 2);
}

#[tokio::test]
async fn traps_bystanders_and_full_queues_show() {
    let service = Service::new();
    let many = service.write(&App::new("many").worker(Guest::ProbeP3, "workers = 1"));
    let one = service.write(&App::new("one").worker(Guest::ProbeP2, "workers = 1\nqueued-requests = 1"));
    service.start(&[&many, &one]).await;
    let addr = service.addr_of("many").await;
    let mut bystanders = JoinSet::new();
    for _ in 0..3 {
        bystanders.spawn(async move { get(addr, "/sleep?ms=1500").await.status });
    }
    // With the guest, not only with the host.
    let mut looks = 0;
    eventually("all of them", async || {
        looks += 1;
        get(addr, "/count").await.json::<Value>()["count"] == looks + 3
    })
    .await;
    let seen = app(&service, "many").await;
    assert_eq!((&seen["in_flight"], &seen["repeated"], &seen["traps"]), (&3.into(), &0.into(), &0.into()));
    assert_eq!(get(addr, "/trap").await.status, 500);
    assert_eq!(bystanders.join_all().await, [200; 3]);
    let seen = app(&service, "many").await;
    assert_eq!((&seen["in_flight"], &seen["repeated"], &seen["traps"]), (&0.into(), &3.into(), &1.into()));
    assert_eq!((&seen["errors"], &seen["refused"]), (&1.into(), &0.into()), "{seen}");
    assert!(seen["p99_ms"].as_f64().unwrap() >= 1400.0, "{seen}");

    let addr = service.addr_of("one").await;
    let mut asked = JoinSet::new();
    for _ in 0..4 {
        asked.spawn(async move { get(addr, "/sleep?ms=500").await.status });
    }
    let mut statuses = asked.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503]);
    let seen = app(&service, "one").await;
    assert_eq!((&seen["refused"], &seen["errors"], &seen["requests"]), (&2.into(), &2.into(), &4.into()));
}

#[tokio::test]
async fn a_generation_that_drains_is_listed() {
    let service = Service::new();
    let folder = service.write(&App::probe(Guest::ProbeP3, 1));
    service.start(&[&folder]).await;
    let addr = service.addr_of("probe").await;
    let slow = tokio::spawn(async move { get(addr, "/sleep?ms=3000").await.status });
    eventually("the request", async || app(&service, "probe").await["in_flight"] == 1).await;
    let old = slot(&app(&service, "probe").await, "worker", 0)["process"].clone();
    let reload = ["reload", "probe"];
    let (_, seen) = tokio::join!(
        service.ok(&reload),
        eventually_some("two generations", async || {
            let app = app(&service, "probe").await;
            let states: Vec<_> =
                app["generations"].as_array()?.iter().map(|one| one["state"].as_str()).collect();
            (states == [Some("serving"), Some("draining")]).then(|| app.clone())
        })
    );
    let draining = &seen["generations"][1];
    assert_eq!((&draining["generation"], &draining["in_flight"]), (&1.into(), &1.into()), "{draining}");
    let place = &draining["slots"].as_array().unwrap()[..];
    let processes: Vec<_> = place
        .iter()
        .flat_map(|one| one["others"].as_array().unwrap().iter().chain([&one["process"]]))
        .collect();
    let process = processes.iter().find(|process| process["pid"] == old["pid"]).expect("its worker");
    assert_eq!((&process["state"], &process["in_flight"]), (&"draining".into(), &1.into()), "{process}");
    assert_eq!(seen["generation"], 2);
    assert_eq!(slow.await.unwrap(), 200);
    let after = app(&service, "probe").await;
    assert_eq!(after["generations"].as_array().unwrap().len(), 1, "{after}");
    assert_eq!(after["in_flight"], 0);
}

#[tokio::test]
async fn what_fails_again_and_again_shows_with_its_reason() {
    let service = Service::new();
    let keys = "workers = 1\nenvironment = { START = \"error\", START_IF = \"/data/broken\" }\n\
                folders = [{ source = \"data\", destination = \"/data\", writable = true }]";
    let bad = service.write(&App::new("bad").worker(Guest::ProbeP3, keys).file("data/there", ""));
    service.start(&[&bad]).await;
    assert_eq!(slot(&app(&service, "bad").await, "worker", 0)["failing"], false);
    let broken = service.home().join("apps/bad/data/data/broken");
    fs::write(&broken, "").unwrap();
    service
        .processes()
        .iter()
        .find(|one| one.title == "hatchery: worker bad/0")
        .unwrap()
        .signal(Signal::SIGKILL);
    let place = eventually_some("it fails", async || {
        let app = app(&service, "bad").await;
        let place = slot(&app, "worker", 0);
        (place["failing"] == true).then(|| place.clone())
    })
    .await;
    assert!(place["last_exit"].as_str().unwrap().contains("asked to fail"), "{place}");
    let table = service.ok(&["status"]).await;
    assert!(table.contains("failing") && table.contains("asked to fail"), "{table}");
    fs::remove_file(broken).unwrap();
    eventually("it is well", async || {
        let app = app(&service, "bad").await;
        let place = slot(&app, "worker", 0);
        place["failing"] == false && place["process"]["state"] == "ready"
    })
    .await;
}

#[tokio::test]
async fn watched_in_a_pipe_and_unknown_apps() {
    let service = Service::new();
    let folder = service.write(&App::probe(Guest::ProbeP3, 1));
    service.start(&[&folder]).await;
    let mut command = service.command(&["status", "--watch", "--json"]);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = timeout(DEADLINE, lines.next_line()).await.expect("a line each second").unwrap().unwrap();
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(document["apps"][0]["name"], "probe");
    }
    // Who reads has gone: so does it.
    drop(lines);
    let ended = timeout(DEADLINE, watch.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
    for arguments in [&["status", "nobody"][..], &["status", "nobody", "--json"]] {
        let error = service.fails(arguments).await;
        assert!(error.contains("no app nobody is here; there are: probe"), "{error}");
    }
}

#[tokio::test]
async fn the_figures_of_a_process_are_plausible() {
    let begun = Instant::now();
    let service = Service::new();
    let folder = service.write(&App::probe(Guest::ProbeP3, 2).agent(Guest::ProbeP3, ""));
    service.start(&[&folder]).await;
    let addr = service.addr_of("probe").await;
    let at_first = app(&service, "probe").await;
    let of = |app: &Value, role: &str, number| slot(app, role, number)["process"].clone();
    let all = |app: &Value| [of(app, "agent", 0), of(app, "worker", 0), of(app, "worker", 1)];
    let there: BTreeSet<i64> = service.processes().iter().map(|one| i64::from(one.id)).collect();
    let listed: BTreeSet<i64> = all(&at_first).iter().map(|one| one["os_pid"].as_i64().unwrap()).collect();
    let master = i64::from(service.master().unwrap().id);
    assert_eq!(listed, &there - &BTreeSet::from([master]));
    for process in all(&at_first) {
        let memory = process["memory_bytes"].as_u64().unwrap();
        assert!((1 << 20..1 << 30).contains(&memory), "{process}");
        assert!(process["uptime_seconds"].as_u64().unwrap() <= begun.elapsed().as_secs(), "{process}");
    }

    // CPU time: of the one that computes.
    let mut workers = Probe::each(addr, 2).await;
    let slot_of = u64::from(workers[1].slot);
    workers[1].get::<Value>("/spin?ms=500").await;
    let cpu = |app: &Value, number| of(app, "worker", number)["cpu_seconds"].as_f64().unwrap();
    let after = app(&service, "probe").await;
    let spent = cpu(&after, slot_of) - cpu(&at_first, slot_of);
    assert!(spent > 0.05 && spent < begun.elapsed().as_secs_f64(), "{spent}");

    // Messages: 10 to everybody, the sender included.
    let messages = |app: &Value, what: &str| all(app).map(|process| process[what].as_u64().unwrap());
    let (received, sent) = (messages(&after, "received"), messages(&after, "sent"));
    assert_eq!(workers[0].send("broadcast", "tick", 10).await.ok, 10);
    eventually("all are sent", async || {
        let now = app(&service, "probe").await;
        messages(&now, "received") == [received[0], received[1] + 10, received[2]]
            && messages(&now, "sent") == sent.map(|sent| sent + 10)
    })
    .await;

    // Dropped: what a process that does not read has no room for.
    let stopped = of(&after, "worker", 1);
    let process =
        service.processes().into_iter().find(|one| Some(i64::from(one.id)) == stopped["os_pid"].as_i64());
    let process = process.unwrap();
    process.signal(Signal::SIGSTOP);
    let to = workers[1].pid.to_string();
    eventually("a message is dropped", async || {
        workers[0].send_sized(&to, "large", 1_000_000).await;
        of(&app(&service, "probe").await, "worker", 1)["dropped"].as_u64().unwrap() > 0
    })
    .await;
    process.signal(Signal::SIGKILL);
    let after = another(&service, "probe", 1, &stopped["pid"]).await;
    assert!(after["dropped"].as_u64().unwrap() > 0, "{after}");
    assert_eq!(of(&after, "worker", 1)["dropped"], 0);
    let uptime = |app: &Value| of(app, "worker", 0)["uptime_seconds"].as_u64().unwrap();
    let before = uptime(&after);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(uptime(&app(&service, "probe").await) > before);
}
