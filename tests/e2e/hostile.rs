//! Guests that take all they can get: each is stopped at its limit, in its own process, which goes on.
//! What the app beside them feels is in `neighbours`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{App, Cluster, Guest, OsProcess, get, is_quiet};

/// `memory`.
const MEMORY: usize = 64 << 20;

/// The default of `process-memory`, in KiB: `memory` and 512 MiB.
const PROCESS_MEMORY: u64 = (MEMORY as u64 >> 10) + (512 << 10);

/// How long past its limit an answer may come on a quiet machine, and on one that gives the guest and its worker
/// only now and then a CPU.
const SLACK: Duration = Duration::from_secs(4);
const SLACK_WHEN_BUSY: Duration = Duration::from_secs(25);

/// One request that takes too much.
pub(super) struct Attack {
    /// Whose guest it is.
    pub(super) app: &'static str,
    pub(super) path: &'static str,
    status: u16,
    /// After which it has to be stopped.
    limit: Duration,
    /// What the log then says; empty where there is nothing to say.
    cause: &'static str,
}

/// `cpu-limit`.
const CPU_LIMIT: Duration = Duration::from_secs(1);

/// `request-timeout` of the app whose guest waits. That of the other one is its default and far away: a guest that
/// computes has to be stopped before it, also on a busy machine.
const REQUEST_TIMEOUT: &str = "request-timeout = \"1s\"";

/// Of the trap for too many handles.
const HANDLES: &str = "handle limit exceeded";

/// Of the trap where the host has to keep more than one thing for each.
const RESOURCES: &str = "resource table has no free keys";

/// Those that a guest knows. Rust can grow no table: [`table`] does it.
pub(super) fn attacks(guest: Guest) -> Vec<Attack> {
    let attack = |path, status, limit, cause| Attack { app: "bad", path, status, limit, cause };
    let mut attacks = vec![
        attack("/loop", 504, CPU_LIMIT, "`cpu-limit`"),
        Attack { app: "waits", ..attack("/await", 504, Duration::from_secs(1), "`request-timeout`") },
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

/// A component that grows its table until that fails, and then traps, at each request; and the attack.
pub(super) fn table() -> (Vec<u8>, Attack) {
    let text = r#"(component
        (import "wasi:http/types@0.2.0" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $response))
        (core module $module
            (table $table 1 funcref)
            (func (export "handle") (param i32 i32)
                (loop $again
                    (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 4096)) (i32.const -1))))
                unreachable))
        (core instance $core (instantiate $module))
        (func $handle (param "request" (own $request)) (param "response-out" (own $response))
            (canon lift (core func $core "handle")))
        (instance $handler (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#;
    let attack = Attack { app: "bad", path: "/table", status: 500, limit: CPU_LIMIT, cause: "unreachable" };
    (wat::parse_str(text).unwrap(), attack)
}

/// The attackers, of which one only waits. They may trap often, so that an attack goes on for long.
pub(super) fn attackers(wasm: &[u8], keys: &str) -> [App; 2] {
    [("bad", ""), ("waits", REQUEST_TIMEOUT)].map(|(name, more)| {
        let limits = format!("[limits]\nmemory = \"64MiB\"\ncpu-limit = \"1s\"\ntrap-limit = 10000\n{more}");
        App::new(name).worker_wasm(wasm.to_vec(), &format!("workers = 1\n{keys}")).more(&limits)
    })
}

#[tokio::test]
async fn each_ends_at_its_limit_and_the_same_process_goes_on() {
    for guest in [Guest::HostileP3, Guest::HostileP2] {
        for instance in ["resident", "per-request"] {
            let keys = format!("instance = \"{instance}\"");
            let cluster = Cluster::start(&attackers(&guest.wasm(), &keys)).await;
            let workers = workers(&cluster);
            for attack in attacks(guest) {
                once(&cluster, &attack, &format!("{guest:?} {instance}")).await;
                let addr = cluster.addr_of(attack.app);
                assert_eq!(get(addr, "/hello").await.text(), "hello\n", "after {}", attack.path);
                go_on(&cluster, &workers, attack.path);
            }
            println!("{guest:?} {instance}: the worker's peak is {} MiB", workers[0].peak_memory() >> 10);
        }
    }
}

#[tokio::test]
async fn a_table_that_grows_ends_at_its_limit_and_the_same_process_goes_on() {
    for instance in ["resident", "per-request"] {
        let (wasm, attack) = table();
        let cluster = Cluster::start(&attackers(&wasm, &format!("instance = \"{instance}\""))).await;
        let workers = workers(&cluster);
        for _ in 0..10 {
            once(&cluster, &attack, instance).await;
            go_on(&cluster, &workers, attack.path);
        }
        println!("{instance}: ten tables grown, the worker's peak is {} MiB", workers[0].peak_memory() >> 10);
    }
}

/// Runs it, and waits for what the log is to say of it.
async fn once(cluster: &Cluster, attack: &Attack, who: &str) {
    let before = cluster.log.count(attack.cause);
    let took = run(cluster.addr_of(attack.app), attack).await;
    println!("{who} {}: {} after {took:.1?}", attack.path, attack.status);
    if !attack.cause.is_empty() {
        cluster.log.wait_for_count(attack.cause, before + 1).await;
    }
}

/// Once. How long it took.
pub(super) async fn run(addr: SocketAddr, attack: &Attack) -> Duration {
    let begun = Instant::now();
    let reply = get(addr, attack.path).await;
    let took = begun.elapsed();
    assert_eq!(reply.status, attack.status, "{}: {}", attack.path, reply.text());
    let slack = if is_quiet() { SLACK } else { SLACK_WHEN_BUSY };
    assert!(took < attack.limit + slack, "{}: {took:?}", attack.path);
    if attack.path == "/grow" {
        // A failed grow, not far from the limit: what the instance is made of takes some of it.
        let bytes = reply.json::<Value>()["bytes"].as_u64().unwrap() as usize;
        assert!(bytes <= MEMORY && bytes > MEMORY / 10 * 8, "{bytes}");
    }
    took
}

/// Of the attackers.
pub(super) fn workers(cluster: &Cluster) -> [OsProcess; 2] {
    ["bad", "waits"].map(|app| cluster.process(&format!("worker {app}/0")))
}

/// The processes are the same ones, and have not taken what they may not.
pub(super) fn go_on(cluster: &Cluster, before: &[OsProcess; 2], after: &str) {
    assert_eq!(workers(cluster), *before, "after {after}");
    for worker in before {
        assert!(worker.peak_memory() < PROCESS_MEMORY, "{} KiB after {after}", worker.peak_memory());
    }
}
