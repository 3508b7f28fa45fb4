//! Guests that take all they can get: each is stopped at its limit, in its own process, which goes on;
//! and the app beside them does not feel it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{App, Cluster, Guest, Latency, OsProcess, get};

/// For how long latencies are measured, alone and under attack.
const MEASURED: Duration = Duration::from_secs(2);

/// The machine does other things too: one round of these has to be good.
const ROUNDS: usize = 5;

/// What is under this is noise, whatever the ratio.
const FLOOR: Duration = Duration::from_millis(2);

/// How much slower than alone the other app may be.
const RATIO: f64 = 2.0;

/// How many wait for ever at once.
const WAITING: usize = 200;

/// Between the end of an attack and the next.
const BREATH: Duration = Duration::from_millis(20);

/// `memory`.
const MEMORY: usize = 64 << 20;

/// The default of `process-memory`, in KiB: `memory` and 512 MiB.
const PROCESS_MEMORY: u64 = (MEMORY as u64 >> 10) + (512 << 10);

/// How long past its limit an answer may come on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

struct Attack {
    path: &'static str,
    status: u16,
    /// After which it has to be stopped.
    limit: Duration,
    /// What the log then says; empty where there is nothing to say.
    cause: &'static str,
}

/// `cpu-limit`, and `request-timeout`, which a guest that computes has to be stopped before, also on a
/// busy machine.
const CPU_LIMIT: Duration = Duration::from_millis(300);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Of the trap for too many handles.
const HANDLES: &str = "handle limit exceeded";

/// Of the trap where the host has to keep more than one thing for each.
const RESOURCES: &str = "resource table has no free keys";

fn attacks(guest: Guest) -> Vec<Attack> {
    let attack = |path, status, limit, cause| Attack { path, status, limit, cause };
    let mut attacks = vec![
        attack("/loop", 504, CPU_LIMIT, "`cpu-limit`"),
        attack("/await", 504, REQUEST_TIMEOUT, "`request-timeout`"),
        attack("/grow", 200, CPU_LIMIT, ""),
        attack("/recurse", 500, CPU_LIMIT, "call stack exhausted"),
        attack("/handles", 500, CPU_LIMIT, HANDLES),
    ];
    attacks.extend(match guest {
        Guest::HostileP3 => {
            vec![attack("/calls", 500, CPU_LIMIT, HANDLES), attack("/streams", 500, CPU_LIMIT, HANDLES)]
        }
        _ => vec![attack("/calls", 500, CPU_LIMIT, RESOURCES)],
    });
    attacks
}

/// One app that attacks, and one that is measured. The attacker may trap often, so that the attack
/// goes on for long.
async fn cluster(guest: Guest, instance: &str) -> Cluster {
    let limits = "[limits]\nmemory = \"64MiB\"\ncpu-limit = \"300ms\"\nrequest-timeout = \"3s\"\n\
                  trap-limit = 10000";
    let keys = format!("workers = 1\ninstance = \"{instance}\"");
    let bad = App::new("bad").worker(guest, &keys).more(limits);
    let good = App::new("good").worker(Guest::HelloP3, "workers = 1");
    Cluster::start(&[bad, good]).await
}

#[tokio::test]
async fn each_ends_at_its_limit_and_the_same_process_goes_on() {
    for guest in [Guest::HostileP3, Guest::HostileP2] {
        for instance in ["resident", "per-request"] {
            let cluster = cluster(guest, instance).await;
            let worker = cluster.process("worker bad/0");
            for attack in attacks(guest) {
                let before = cluster.log.count(attack.cause);
                let took = run(cluster.addr_of("bad"), &attack).await;
                println!("{guest:?} {instance} {}: {} after {took:.1?}", attack.path, attack.status);
                if !attack.cause.is_empty() {
                    cluster.log.wait_for_count(attack.cause, before + 1).await;
                }
                goes_on(&cluster, &worker, attack.path).await;
            }
            println!("{guest:?} {instance}: the worker's peak is {} MiB", worker.peak_memory() >> 10);
        }
    }
}

#[tokio::test]
async fn another_app_does_not_feel_them() {
    let cluster = cluster(Guest::HostileP3, "resident").await;
    let worker = cluster.process("worker bad/0");
    let (bad, good) = (cluster.addr_of("bad"), cluster.addr_of("good"));
    for attack in attacks(Guest::HostileP3) {
        let path = attack.path;
        let attack = Arc::new(attack);
        let mut round = 0;
        loop {
            round += 1;
            let alone = Latency::measure(good, MEASURED).await;
            let stop = Arc::new(AtomicBool::new(false));
            let attacker = tokio::spawn(attack_on(bad, attack.clone(), stop.clone()));
            let attacked = Latency::measure(good, MEASURED).await;
            stop.store(true, SeqCst);
            let times = attacker.await.unwrap();
            println!("{path}, {times} times:\n  alone    {alone}\n  attacked {attacked}");
            if attacked.p99 <= alone.p99.max(FLOOR).mul_f64(RATIO) {
                break;
            }
            assert!(round < ROUNDS, "{path}: {:?} at p99, alone {:?}", attacked.p99, alone.p99);
        }
        goes_on(&cluster, &worker, path).await;
    }
    println!("the attacker's peak is {} MiB", worker.peak_memory() >> 10);
}

/// Over and over until it is told to stop. How many requests that were.
async fn attack_on(addr: SocketAddr, attack: Arc<Attack>, stop: Arc<AtomicBool>) -> usize {
    let mut times = 0;
    while !stop.load(SeqCst) {
        let mut at_once = JoinSet::new();
        // Of those that trap, one ends the others too.
        for _ in 0..if attack.path == "/await" { WAITING } else { 1 } {
            let attack = attack.clone();
            at_once.spawn(async move { run(addr, &attack).await });
        }
        times += at_once.join_all().await.len();
        tokio::time::sleep(BREATH).await;
    }
    times
}

/// Once. How long it took.
async fn run(addr: SocketAddr, attack: &Attack) -> Duration {
    let begun = Instant::now();
    let reply = get(addr, attack.path).await;
    let took = begun.elapsed();
    assert_eq!(reply.status, attack.status, "{}: {}", attack.path, reply.text());
    assert!(took < attack.limit + SLACK, "{}: {took:?}", attack.path);
    if attack.path == "/grow" {
        // A failed grow, not far from the limit: what the instance is made of takes some of it.
        let bytes = reply.json::<Value>()["bytes"].as_u64().unwrap() as usize;
        assert!(bytes <= MEMORY && bytes > MEMORY / 10 * 8, "{bytes}");
    }
    took
}

/// The process is the same one, answers, and has not taken what it may not.
async fn goes_on(cluster: &Cluster, worker: &OsProcess, after: &str) {
    assert_eq!(get(cluster.addr_of("bad"), "/hello").await.text(), "hello\n", "after {after}");
    assert_eq!(cluster.process("worker bad/0"), *worker, "after {after}");
    assert!(worker.peak_memory() < PROCESS_MEMORY, "{} KiB after {after}", worker.peak_memory());
}
