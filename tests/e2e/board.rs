//! The board, the same app in each language (`guests/board`): every variant must do the same, see its
//! README for what that is. A language whose tools this machine lacks is left out, except in CI.

use std::{fs, path::PathBuf};

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{
    App, Cluster, Connection, DEADLINE, Guest, Version, eventually, eventually_some, full, in_time, made,
    request,
};

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Note {
    id: u64,
    text: String,
    at: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    slot: u32,
    language: String,
}

/// What a variant is made of.
struct Variant {
    language: &'static str,
    worker: Part,
    agent: Part,
    /// What the log shows of `GET /fail`.
    failure: String,
}

#[derive(Clone, Copy)]
enum Part {
    Rust(Guest),
    /// A component that `guests/component.sh` has made.
    Made(&'static str),
}

impl Part {
    /// None where it can't be made here.
    fn wasm(self) -> Option<Vec<u8>> {
        match self {
            Self::Rust(guest) => Some(guest.wasm()),
            Self::Made(name) => made(name),
        }
    }
}

/// Where in a source of `guests/board` the word is that `GET /fail` fails with: `FILE` and the line.
fn place(source: &str, between: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("guests/board").join(source);
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().position(|line| line.contains("asked to fail")).unwrap() + 1;
    let name = file.file_name().unwrap().to_str().unwrap().replace(".ts", ".js");
    format!("{name}{between}{line}")
}

/// The two apps of a test: notes stay in one and fade in the other.
async fn start(variant: &Variant) -> Option<Cluster> {
    let (worker, agent) = (variant.worker.wasm()?, variant.agent.wasm()?);
    // Each component is compiled once, and not by each process that needs it at the same time.
    for (name, wasm) in [("agent", &agent), ("worker", &worker)] {
        Cluster::start(&[App::new(&format!("compile-{name}")).agent_wasm(wasm.clone(), "")]).await;
    }
    let app = |name: &str, workers: u32, keep: u32| {
        App::new(name)
            .worker_wasm(worker.clone(), &format!("workers = {workers}"))
            .agent_wasm(agent.clone(), &format!("environment = {{ BOARD_KEEP = \"{keep}\" }}"))
            .more("[[schedule]]\nname = \"expire\"\ninterval = \"200ms\"\ntype = \"agent\"\n")
    };
    Some(Cluster::start(&[app("board", 2, 600), app("fading", 1, 1)]).await)
}

/// A connection to the worker with this slot.
async fn worker(cluster: &Cluster, slot: u32, language: &str) -> Connection {
    eventually_some(&format!("a connection to worker {slot}"), async || {
        let mut connection = Connection::try_open(cluster.addr_of("board"), Version::H1).await.ok()?;
        let reply = connection.try_send(request("GET", "/where", full(""))).await.ok()?;
        let found: Where = (reply.status == 200).then(|| reply.json())?;
        assert_eq!(found.language, language);
        (found.slot == slot).then_some(connection)
    })
    .await
}

async fn post(worker: &mut Connection, text: &str) -> Note {
    let reply = worker.send(request("POST", "/", full(text.to_owned()))).await;
    assert_eq!((reply.status, reply.header("content-type")), (201, "application/json"), "{}", reply.text());
    let note: Note = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(note.text, text);
    note
}

async fn notes(worker: &mut Connection) -> Vec<Note> {
    let reply = worker.get("/").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{}", reply.text());
    reply.json()
}

async fn board(variant: Variant) {
    let Some(cluster) = start(&variant).await else { return };
    let mut workers =
        [worker(&cluster, 0, variant.language).await, worker(&cluster, 1, variant.language).await];
    assert_eq!(notes(&mut workers[0]).await, []);

    // The agent numbers, whoever was asked, and who was asked has the note at once.
    let mut posted = Vec::new();
    for (index, text) in ["first", "zweite ✓ 🐣", "\"quoted\" \\ \t\n{\"id\":99},[1]"].into_iter().enumerate()
    {
        let asked = &mut workers[index % 2];
        let note = post(asked, text).await;
        assert_eq!(note.id, index as u64 + 1);
        assert!(note.at > 1_700_000_000_000, "{note:?}");
        posted.push(note);
        assert_eq!(notes(asked).await.last(), posted.last());
    }
    everywhere(&mut workers, &posted).await;
    refusals(&mut workers[0]).await;

    // A failure is told to the client and, with its place, to the log; the notes are still there.
    assert_eq!(workers[1].get("/fail").await.status, 500);
    cluster.log.wait_for(&variant.failure).await;
    assert_eq!(notes(&mut workers[1]).await, posted);

    // A worker that starts later has them from its first answer on.
    let old = cluster.process("worker board/1");
    old.signal(Signal::SIGKILL);
    assert!(crate::support::gone(&[old], DEADLINE).await);
    workers[1] = worker(&cluster, 1, variant.language).await;
    assert_eq!(notes(&mut workers[1]).await, posted);

    // An agent that starts again goes on counting.
    let ready = "ready app=\"board\" role=agent";
    assert_eq!(cluster.log.count(ready), 1);
    cluster.process("agent board").signal(Signal::SIGKILL);
    cluster.log.wait_for_count(ready, 2).await;
    posted.push(post(&mut workers[0], "fourth").await);
    assert_eq!(posted[3].id, 4);
    everywhere(&mut workers, &posted).await;

    fading(&cluster).await;
}

/// All workers have these notes, soon.
async fn everywhere(workers: &mut [Connection], posted: &[Note]) {
    for worker in workers {
        let mut seen = Vec::new();
        let all = in_time(DEADLINE, async || {
            seen = notes(worker).await;
            seen == posted
        });
        assert!(all.await, "{seen:?} instead of {posted:?}");
    }
}

async fn refusals(worker: &mut Connection) {
    let bodies =
        [(vec![], 400), (vec![0xff, 0xfe], 400), (vec![b'x'; 1001], 413), (vec![b'x'; 100_000], 413)];
    for (body, status) in bodies {
        let size = body.len();
        let reply = worker.send(request("POST", "/", full(body))).await;
        assert_eq!(reply.status, status, "{size} bytes: {}", reply.text());
    }
    assert_eq!(worker.get("/nothing").await.status, 404);
}

/// The schedule drops what is older than a second, and numbers are not used again.
async fn fading(cluster: &Cluster) {
    let mut worker = Connection::open(cluster.addr_of("fading"), Version::H1).await;
    for id in 1..=2 {
        assert_eq!(post(&mut worker, "soon gone").await.id, id);
        eventually("no notes", async || notes(&mut worker).await.is_empty()).await;
    }
    let shown: Value = worker.get("/").await.json();
    assert_eq!(shown, serde_json::json!([]));
}

fn both(language: &'static str, name: &'static str, failure: String) -> Variant {
    Variant { language, worker: Part::Made(name), agent: Part::Made(name), failure }
}

/// The least that a guest can be: it answers, what it counts stays, and it keeps nothing of its requests.
#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn hello_in_each_language() {
    let guests = [
        ("hello-python", "64MiB"),
        ("hello-js", "16MiB"),
        ("hello-ts", "64MiB"),
        ("hello-c", "4MiB"),
        ("hello-go", "32MiB"),
    ];
    for (name, memory) in guests {
        let Some(wasm) = made(name) else { continue };
        let app = App::new("hello").worker_wasm(wasm, "workers = 1");
        let limits = format!("[limits]\nmemory = \"{memory}\"\ncpu-limit = \"5s\"");
        let cluster = Cluster::start(&[app.more(&limits)]).await;
        let mut connection = Connection::open(cluster.addr(), Version::H1).await;
        for call in 1..=1500 {
            let reply = connection.get("/").await;
            let expected = format!("hello, call {call}\n");
            assert_eq!((reply.status, reply.text()), (200, expected.as_str()), "{name}");
        }
    }
}

#[tokio::test]
async fn rust() {
    for guest in [Guest::BoardP3, Guest::BoardP2] {
        let part = Part::Rust(guest);
        let failure = place("rust/src/lib.rs", ":");
        board(Variant { language: "rust", worker: part, agent: part, failure }).await;
    }
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn python() {
    board(both("python", "board-python", place("python/main.py", "\", line "))).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn python_3() {
    board(both("python", "board-python-0.3", place("python/main.py", "\", line "))).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn javascript() {
    board(both("javascript", "board-js", place("js/main.js", ":"))).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn javascript_3() {
    board(both("javascript", "board-js-0.3", place("js/main.js", ":"))).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn typescript() {
    board(both("typescript", "board-ts", place("ts/main.ts", ":"))).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn c() {
    board(both("c", "board-c", "asked to fail".to_owned())).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn c_3() {
    board(both("c", "board-c-0.3", "asked to fail".to_owned())).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn go() {
    board(both("go", "board-go", place("go/main.go", ":"))).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn go_3() {
    board(both("go", "board-go-0.3", place("go/main.go", ":"))).await;
}

#[tokio::test]
#[ignore = "takes minutes: `just test` runs it after the others"]
async fn a_python_worker_with_a_rust_agent() {
    let failure = place("python/main.py", "\", line ");
    let (worker, agent) = (Part::Made("board-python"), Part::Rust(Guest::BoardP3));
    board(Variant { language: "python", worker, agent, failure }).await;
}
