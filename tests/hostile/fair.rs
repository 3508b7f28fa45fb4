//! Apps in turn: eight workers that flood the master get no more of it than one of another app.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{App, Guest, Probe, Service, eventually};

/// How long messages are counted.
const SECONDS: u64 = 3;

/// Messages of one request.
const BATCH: u64 = 2000;

/// How much more than the other an app may get.
const FACTOR: u64 = 3;

/// Each of its workers sends as much as it can, to nobody, until it is told to stop.
async fn flood(service: &Service, app: &str, workers: u32, stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for mut probe in Probe::each(service.addr_of(app).await, workers).await {
        let stop = stop.clone();
        all.spawn(async move {
            while !stop.load(SeqCst) {
                probe.send("agent", "flood", BATCH).await;
            }
        });
    }
    all
}

/// How many messages the master has taken from each of these apps.
async fn taken(service: &Service, apps: [&str; 2]) -> [u64; 2] {
    let status = service.status().await;
    apps.map(|name| {
        let found = status["apps"].as_array().unwrap().iter().find(|app| app["name"] == name).unwrap();
        sum(found)
    })
}

/// Of all that is called `received` below it.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| if name == "received" { field.as_u64().unwrap() } else { sum(field) })
            .sum(),
        Value::Array(items) => items.iter().map(sum).sum(),
        _ => 0,
    }
}

/// Messages a second of both, from now on.
async fn rate(service: &Service, apps: [&str; 2]) -> [u64; 2] {
    let (begun, before) = (Instant::now(), taken(service, apps).await);
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let (after, took) = (taken(service, apps).await, begun.elapsed());
    [0, 1].map(|at| ((after[at] - before[at]) as f64 / took.as_secs_f64()) as u64)
}

#[tokio::test]
async fn eight_workers_that_flood_get_no_more_than_one() {
    let service = Service::new();
    let app = |name: &str, workers: u32| {
        App::new(name)
            .worker(Guest::ProbeP3, &format!("workers = {workers}"))
            .more("[limits]\nqueue-size = \"1MiB\"")
    };
    let folders = [service.write(&app("many", 8)), service.write(&app("one", 1))];
    service.start(&folders.each_ref().map(String::as_str)).await;
    let apps = ["many", "one"];
    let stop = Arc::new(AtomicBool::new(false));
    let one = flood(&service, "one", 1, &stop).await;
    eventually("it floods", async || taken(&service, apps).await[1] > BATCH).await;
    let alone = rate(&service, apps).await;
    let many = flood(&service, "many", 8, &stop).await;
    eventually("both flood", async || taken(&service, apps).await[0] > 8 * BATCH).await;
    let both = rate(&service, apps).await;
    stop.store(true, SeqCst);
    many.join_all().await;
    one.join_all().await;
    println!("messages a second: one alone {}, eight {}, one beside them {}", alone[1], both[0], both[1]);
    assert!(both[1] > 0 && both[0] <= both[1] * FACTOR, "{both:?}");
}
