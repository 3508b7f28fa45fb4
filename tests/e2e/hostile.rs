//! Guests that take all they can get: each is stopped at its limit, in its own process, which goes on.
//! What the app beside them feels is in `neighbours`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{App, Cluster, Guest, OsProcess, get};

/// `memory`.
const MEMORY: usize = 64 << 20;

/// The default of `process-memory`, in KiB: `memory` and 512 MiB.
const PROCESS_MEMORY: u64 = (MEMORY as u64 >> 10) + (512 << 10);

/// How long past its limit an answer may come on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

/// One request that takes too much.
pub(super) struct Attack {
    pub(super) path: &'static str,
    status: u16,
    /// After which it has to be stopped.
    limit: Duration,
    /// What the log then says; empty where there is nothing to say.
    cause: &'static str,
}

/// `cpu-limit`, and `request-timeout`, which a guest that computes has to be stopped before, also on a
/// busy machine.
const CPU_LIMIT: Duration = Duration::from_secs(1);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(6);

/// Of the trap for too many handles.
const HANDLES: &str = "handle limit exceeded";

/// Of the trap where the host has to keep more than one thing for each.
const RESOURCES: &str = "resource table has no free keys";

/// Those that a guest knows. Rust can grow no table: [`table`] does it.
pub(super) fn attacks(guest: Guest) -> Vec<Attack> {
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
    let attack = Attack { path: "/table", status: 500, limit: CPU_LIMIT, cause: "unreachable" };
    (wat::parse_str(text).unwrap(), attack)
}

/// What the attackers get. They may trap often, so that an attack goes on for long.
pub(super) const LIMITS: &str = "[limits]
memory = \"64MiB\"
cpu-limit = \"1s\"
request-timeout = \"6s\"
trap-limit = 10000";

#[tokio::test]
async fn each_ends_at_its_limit_and_the_same_process_goes_on() {
    for guest in [Guest::HostileP3, Guest::HostileP2] {
        for instance in ["resident", "per-request"] {
            let keys = format!("workers = 1\ninstance = \"{instance}\"");
            let cluster = Cluster::start(&[App::new("bad").worker(guest, &keys).more(LIMITS)]).await;
            let worker = cluster.process("worker bad/0");
            for attack in attacks(guest) {
                once(&cluster, &attack, &format!("{guest:?} {instance}")).await;
                assert_eq!(get(cluster.addr(), "/hello").await.text(), "hello\n", "after {}", attack.path);
                goes_on(&cluster, &worker, attack.path);
            }
            println!("{guest:?} {instance}: the worker's peak is {} MiB", worker.peak_memory() >> 10);
        }
    }
}

#[tokio::test]
async fn a_table_that_grows_ends_at_its_limit_and_the_same_process_goes_on() {
    for instance in ["resident", "per-request"] {
        let keys = format!("workers = 1\ninstance = \"{instance}\"");
        let (wasm, attack) = table();
        let cluster = Cluster::start(&[App::new("bad").worker_wasm(wasm, &keys).more(LIMITS)]).await;
        let worker = cluster.process("worker bad/0");
        for _ in 0..10 {
            once(&cluster, &attack, instance).await;
            goes_on(&cluster, &worker, attack.path);
        }
        println!("{instance}: ten tables grown, the worker's peak is {} MiB", worker.peak_memory() >> 10);
    }
}

/// Runs it, and waits for what the log is to say of it.
async fn once(cluster: &Cluster, attack: &Attack, who: &str) {
    let before = cluster.log.count(attack.cause);
    let took = run(cluster.addr(), attack).await;
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
    assert!(took < attack.limit + SLACK, "{}: {took:?}", attack.path);
    if attack.path == "/grow" {
        // A failed grow, not far from the limit: what the instance is made of takes some of it.
        let bytes = reply.json::<Value>()["bytes"].as_u64().unwrap() as usize;
        assert!(bytes <= MEMORY && bytes > MEMORY / 10 * 8, "{bytes}");
    }
    took
}

/// The process is the same one, and has not taken what it may not.
pub(super) fn goes_on(cluster: &Cluster, worker: &OsProcess, after: &str) {
    assert_eq!(cluster.process("worker bad/0"), *worker, "after {after}");
    assert!(worker.peak_memory() < PROCESS_MEMORY, "{} KiB after {after}", worker.peak_memory());
}
