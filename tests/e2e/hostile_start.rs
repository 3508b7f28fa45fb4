//! Components that are hostile before they can be called: in what they are made of, and in their core
//! module's start function. They are WAT, since Rust can grow no table.

use std::time::Instant;

use crate::support::{App, Cluster, DEADLINE, eventually};

/// The default of `process-memory` with the `memory` below, in KiB.
const PROCESS_MEMORY: u64 = (64 + 512) << 10;

/// A component of one core module that exports `task`. `parts` are the module's own memories and tables
/// beside its one page and its `$table`; `start` and `run` are the bodies of functions.
fn component(parts: &str, start: &str, run: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $module
                (memory (export "memory") 1)
                (table $table 1 funcref)
                {parts}
                (func $start {start})
                (start $start)
                (func (export "run") (param i32 i32 i32 i32 i32) (result i32) {run} (i32.const 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $core (instantiate $module))
            (alias core export $core "memory" (core memory $memory))
            (alias core export $core "realloc" (core func $realloc))
            (func $run (param "name" string) (param "payload" (option (list u8)))
                (result (result (error string)))
                (canon lift (core func $core "run") (memory $memory) (realloc $realloc)))
            (instance $task (export "run" (func $run)))
            (export "hatchery:cluster/task@0.2.0" (instance $task)))"#
    );
    wat::parse_str(text).unwrap()
}

/// Grows until that fails.
const GROW_MEMORY: &str = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
const GROW_TABLE: &str = "(loop $again (br_if $again (i32.ne (table.grow $table (ref.null func) (i32.const 4096)) (i32.const -1))))";

/// The bounds that a test can wait for.
fn app(wasm: Vec<u8>) -> App {
    let limits = "[limits]\nmemory = \"64MiB\"\ncpu-limit = \"500ms\"\ntrap-limit = 10000";
    App::new("bad").agent_wasm(wasm, "").more(limits)
}

#[tokio::test]
async fn a_component_that_takes_too_much_does_not_start() {
    let trap = "unreachable";
    let cases = [
        ("a large memory", component("(memory 1025)", "", ""), "memory"),
        ("a memory of all there is", component("(memory 65536)", "", ""), "memory"),
        ("many memories", component(&"(memory 64)".repeat(20), "", ""), "memory"),
        ("a large table", component("(table 10000000 funcref)", "", ""), "table"),
        ("an endless loop", component("", "(loop $again (br $again))", ""), "`cpu-limit`"),
        ("an endless recursion", component("", "(call $start)", ""), "call stack exhausted"),
        ("its memory grown", component("", &format!("{GROW_MEMORY} unreachable"), ""), trap),
        ("its table grown", component("", &format!("{GROW_TABLE} unreachable"), ""), trap),
    ];
    for (what, wasm, cause) in cases {
        let begun = Instant::now();
        let error = Cluster::spawn(&[app(wasm)], &[]).failed().await;
        println!("{what}, after {:?}: {error}", begun.elapsed());
        assert!(error.contains("agent of bad") && error.contains(cause), "{what}: {error}");
        assert!(begun.elapsed() < DEADLINE, "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_grow_past_the_limit_fails_and_the_guest_goes_on() {
    for (what, grow) in [("memory", GROW_MEMORY), ("table", GROW_TABLE)] {
        let cluster = Cluster::start(&[app(component("", grow, ""))]).await;
        let peak = cluster.process("agent bad/0").peak_memory();
        println!("{what} grown: the agent's peak is {} MiB", peak >> 10);
        assert!(peak < PROCESS_MEMORY, "{what}: {peak} KiB");
    }
}

#[tokio::test]
async fn a_table_that_grows_and_a_trap_after_it_replace_the_instance_only() {
    let wasm = component("", "", &format!("{GROW_TABLE} unreachable"));
    let schedule = "[[schedule]]\nname = \"grow\"\ninterval = \"100ms\"\ntype = \"agent\"";
    let cluster = Cluster::start(&[app(wasm).more(schedule)]).await;
    let agent = cluster.process("agent bad/0");
    eventually("ten traps", async || cluster.log.count("fresh instance takes over") >= 10).await;
    assert_eq!(cluster.process("agent bad/0"), agent);
    assert!(agent.peak_memory() < PROCESS_MEMORY, "{} KiB", agent.peak_memory());
    println!("ten tables grown: the agent's peak is {} MiB", agent.peak_memory() >> 10);
}
