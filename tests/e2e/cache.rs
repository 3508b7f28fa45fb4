//! The demo, `guests/cache` with `guests/origin`: three refresh schemes, writes that every worker
//! agrees on, and restarts.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::support::{App, Cluster, Connection, DEADLINE, Guest, Version, eventually, get, put};

/// `GET /` of a worker.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cached {
    value: String,
    version: u64,
    last_update_by: String,
    updated_at: String,
    slot: u32,
    pid: u64,
    hits: u64,
}

/// Which of the schemes run, and how often.
struct Schemes {
    push: bool,
    pull: Option<&'static str>,
    force: Option<&'static str>,
}

const PUSH: Schemes = Schemes { push: true, pull: None, force: None };

struct Demo {
    /// Dropped first: its agent has a long poll with the origin, which would wait for its answer.
    cache: Cluster,
    origin: Cluster,
}

impl Demo {
    async fn start(schemes: Schemes) -> Self {
        let environment = r#"environment = { DELAY = "10ms" }"#;
        let origin = App::new("origin").worker(Guest::Origin, &format!("workers = 1\n{environment}"));
        let origin = Cluster::start(&[origin.more("[limits]\nstop-timeout = \"1s\"")]).await;
        let addr = origin.addr();
        let keys = |more: &str| {
            format!(
                "environment = {{ SOURCE_URL = \"http://{addr}/\"{more} }}\n\
                 allowed-outbound-hosts = [\"http://{addr}\"]"
            )
        };
        let push = if schemes.push { "" } else { ", PUSH = \"off\"" };
        let schedule = |name, every: Option<&str>, on| match every {
            Some(every) => {
                format!("[[schedule]]\nname = \"{name}\"\ninterval = \"{every}\"\ntype = \"{on}\"\n")
            }
            None => String::new(),
        };
        let cache = App::new("cache")
            .worker(Guest::CacheWorker, &format!("workers = 2\n{}", keys("")))
            .agent(Guest::CacheAgent, &keys(push))
            .more(&schedule("force-refresh", schemes.force, "all"))
            .more(&schedule("pull-refresh", schemes.pull, "one"));
        let cache = Cluster::start(&[cache]).await;
        Self { cache, origin }
    }

    /// Sets the value where it comes from.
    async fn change(&self, value: &'static str) {
        assert_eq!(put(self.origin.addr(), "/value", value).await.status, 200);
    }

    /// A connection to each of the two workers, by slot.
    async fn workers(&self) -> Vec<Connection> {
        let end = Instant::now() + DEADLINE;
        let mut found: Vec<(u32, Connection)> = Vec::new();
        while found.len() < 2 {
            assert!(Instant::now() < end, "only {} of 2 workers can be reached", found.len());
            let mut connection = Connection::open(self.cache.addr(), Version::H1).await;
            let slot = look(&mut connection).await.slot;
            if found.iter().all(|(other, _)| *other != slot) {
                found.push((slot, connection));
            }
        }
        found.sort_by_key(|(slot, _)| *slot);
        found.into_iter().map(|(_, connection)| connection).collect()
    }

    /// How many lines there are for a refresh in a slot.
    fn lines(&self, by: &str, version: u64, slot: usize) -> usize {
        let line = format!("cache worker/{slot} out | reload by={by} version={version} slot={slot}");
        self.cache.log.count(&line)
    }
}

async fn look(worker: &mut Connection) -> Cached {
    worker.get("/").await.json()
}

/// Waits until every worker has a version, by a scheme. How long it took.
async fn all_have(workers: &mut [Connection], version: u64, by: &str) -> Duration {
    let begun = Instant::now();
    for worker in workers {
        eventually(&format!("version {version} by {by}"), async || {
            let seen = look(worker).await;
            assert!(seen.version <= version, "{seen:?}");
            seen.version == version
        })
        .await;
        assert_eq!(look(worker).await.last_update_by, by);
    }
    begun.elapsed()
}

#[tokio::test]
async fn the_first_answer_has_data() {
    let demo = Demo::start(PUSH).await;
    let first: Cached = get(demo.cache.addr(), "/").await.json();
    assert_eq!((first.value.as_str(), first.version, first.last_update_by.as_str()), ("first", 1, "start"));
    assert!(first.updated_at.ends_with('Z') && first.pid > 0 && first.hits == 1, "{first:?}");
    demo.cache.log.wait_for("all-workers-ready").await;
    for slot in 0..2 {
        assert_eq!(demo.lines("start", 1, slot), 1);
    }
}

#[tokio::test]
async fn push_brings_a_change_at_once() {
    let demo = Demo::start(PUSH).await;
    let mut workers = demo.workers().await;
    demo.cache.log.wait_for("all-workers-ready").await;
    let mut latencies = Vec::new();
    for (version, value) in (2..).zip(["a", "b", "c", "d", "e", "f", "g"]) {
        demo.change(value).await;
        latencies.push(all_have(&mut workers, version, "push").await);
        for worker in &mut workers {
            assert_eq!(look(worker).await.value, value);
        }
        for slot in 0..2 {
            assert_eq!(demo.lines("push", version, slot), 1, "slot {slot}");
        }
    }
    latencies.sort();
    println!("push took {latencies:?}");
    // Not of each: other tests run beside this one.
    assert!(latencies[0] < Duration::from_millis(100), "{latencies:?}");
    assert_eq!(demo.cache.log.count("reload by=push"), 14);
}

#[tokio::test]
async fn pull_brings_a_change_where_push_is_off() {
    let demo = Demo::start(Schemes { push: false, pull: Some("500ms"), force: None }).await;
    let mut workers = demo.workers().await;
    demo.change("pulled").await;
    all_have(&mut workers, 2, "pull").await;
    for slot in 0..2 {
        assert_eq!(demo.lines("pull", 2, slot), 1, "slot {slot}");
    }
    // The next looks find nothing new.
    demo.cache.log.wait_for_count("pull-refresh: succeeded", 4).await;
    assert_eq!(demo.cache.log.count("reload by=pull"), 2);
    assert_eq!(demo.cache.log.count("reload by=push"), 0);
}

#[tokio::test]
async fn force_brings_a_change_where_both_are_off() {
    let mut demo = Demo::start(Schemes { push: false, pull: None, force: Some("500ms") }).await;
    let mut workers = demo.workers().await;
    demo.change("forced").await;
    all_have(&mut workers, 2, "force").await;
    drop(workers);
    demo.cache.log.wait_for_count("force-refresh: succeeded", 6).await;
    demo.cache.master().signal(Signal::SIGTERM);
    assert_eq!(demo.cache.ended(Duration::from_secs(12)).await.code(), Some(0));
    // One line for each run in each worker; of the last run one may have been under way.
    let runs = demo.cache.log.count("force-refresh: succeeded");
    let lines = demo.cache.log.count("reload by=force");
    assert!(lines >= runs && lines <= runs + 2, "{lines} lines of {runs} runs");
}

#[tokio::test]
async fn after_a_put_every_worker_has_the_value() {
    let demo = Demo::start(PUSH).await;
    let mut workers = demo.workers().await;
    demo.cache.log.wait_for("all-workers-ready").await;
    for round in 0..10_u64 {
        let (version, value) = (round + 2, format!("put {round}"));
        let put = crate::support::request("PUT", "/", crate::support::full(value.clone()));
        let answer: Cached = workers[(round % 2) as usize].send(put).await.json();
        assert_eq!((answer.value.as_str(), answer.version), (value.as_str(), version));
        // At once, without waiting for anything.
        for (slot, worker) in workers.iter_mut().enumerate() {
            let seen = look(worker).await;
            assert_eq!((seen.value.as_str(), seen.version), (value.as_str(), version), "slot {slot}");
            assert_eq!(seen.last_update_by, "put");
            // The line is written by now, but perhaps not read yet by this test.
            eventually("its line", async || demo.lines("put", version, slot) == 1).await;
        }
    }
    assert_eq!(demo.cache.log.count("reload by=put"), 20);
    // The push hears of the same changes, and leaves them to the put.
    assert_eq!(demo.cache.log.count("reload by=push"), 0);
}

#[tokio::test]
async fn puts_at_once_leave_all_with_the_same() {
    let demo = Demo::start(PUSH).await;
    let addr = demo.cache.addr();
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..8 {
        puts.spawn(async move { put(addr, "/", format!("{number}")).await.status });
    }
    assert_eq!(puts.join_all().await, [200; 8]);
    let origin: serde_json::Value = get(demo.origin.addr(), "/value").await.json();
    for worker in &mut demo.workers().await {
        let seen = look(worker).await;
        assert_eq!((seen.version, seen.value.as_str()), (9, origin["value"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn without_the_source_a_put_fails_and_reads_go_on() {
    let Demo { origin, cache } = Demo::start(PUSH).await;
    drop(origin);
    let reply = put(cache.addr(), "/", "lost").await;
    assert_eq!(reply.status, 502);
    assert!(!reply.text().is_empty());
    let seen: Cached = get(cache.addr(), "/").await.json();
    assert_eq!((seen.value.as_str(), seen.version), ("first", 1));
}

#[tokio::test]
async fn without_the_source_the_cache_does_not_start() {
    let environment = "environment = { SOURCE_URL = \"http://127.0.0.1:9/\" }";
    let app = App::new("cache")
        .worker(Guest::CacheWorker, &format!("workers = 1\n{environment}"))
        .agent(Guest::CacheAgent, environment);
    let error = Cluster::spawn(&[app], &[]).failed().await;
    assert!(error.contains("worker 0 of cache") && error.contains("SOURCE_URL"), "{error}");
}

#[tokio::test]
async fn a_replaced_worker_has_the_current_value_and_is_counted() {
    let demo = Demo::start(PUSH).await;
    let mut workers = demo.workers().await;
    demo.cache.log.wait_for_count("all-workers-ready", 1).await;
    demo.change("newer").await;
    all_have(&mut workers, 2, "push").await;
    let old = look(&mut workers[1]).await.pid;
    demo.cache.process("worker cache/1").signal(Signal::SIGKILL);
    demo.cache.log.wait_for_count("all-workers-ready", 2).await;
    let mut workers = demo.workers().await;
    let seen = look(&mut workers[1]).await;
    assert_eq!((seen.version, seen.last_update_by.as_str()), (2, "start"));
    assert_ne!(seen.pid, old);
    // It is told of the next change like everybody.
    demo.change("newest").await;
    all_have(&mut workers, 3, "push").await;
    assert_eq!(demo.lines("push", 3, 0) + demo.lines("push", 3, 1), 2);
    assert_eq!(demo.cache.log.count("all-workers-ready"), 2);
}

#[tokio::test]
async fn a_replaced_agent_pushes_on() {
    let demo = Demo::start(PUSH).await;
    let mut workers = demo.workers().await;
    demo.cache.log.wait_for_count("all-workers-ready", 1).await;
    let old = demo.cache.process("agent cache/0");
    old.signal(Signal::SIGKILL);
    // While there is none.
    demo.change("meanwhile").await;
    all_have(&mut workers, 2, "push").await;
    demo.change("after").await;
    all_have(&mut workers, 3, "push").await;
    let addr: SocketAddr = demo.cache.addr();
    assert_eq!(put(addr, "/", "through it").await.status, 200);
    for slot in 0..2 {
        // A line may come later than the answer that tells of the same.
        let both = async || demo.lines("push", 3, slot) == 1 && demo.lines("put", 4, slot) == 1;
        eventually("a line for each change", both).await;
    }
}
