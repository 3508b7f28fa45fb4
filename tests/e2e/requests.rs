//! Questions and answers: to the agent, to a pid, to all workers, and every way to get none.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{App, Cluster, Guest, Probe, eventually};

fn app(guest: Guest, workers: u32) -> App {
    App::probe(guest, workers).agent(guest, "")
}

/// `(pid, answer or error)`, by pid.
fn answers(of: &Value) -> Vec<(u64, String)> {
    let all = of["answers"].as_array().unwrap_or_else(|| panic!("no answers: {of}"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let one = |a: &Value| {
        let result = text(&a["ok"]).map(|ok| format!("ok {ok}")).or(text(&a["error"])).unwrap();
        (a["pid"].as_u64().unwrap(), result)
    };
    let mut all: Vec<_> = all.iter().map(one).collect();
    all.sort();
    all
}

#[tokio::test]
async fn the_agent_and_any_process_answer() {
    for (worker, agent) in
        [(Guest::ProbeP2, Guest::ProbeP2), (Guest::ProbeP3, Guest::ProbeP3), (Guest::ProbeP2, Guest::ProbeP3)]
    {
        let app = App::probe(worker, 2).agent(agent, "");
        let cluster = Cluster::start(&[app]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let other = workers[1].pid;
        let asker = &mut workers[0];
        assert_eq!(asker.ask("agent", "echo", "héllo").await, json!({ "ok": "héllo" }));
        assert_eq!(asker.ask("agent", "echo", "").await, json!({ "ok": "" }));
        let agent = asker.agent_pid().await;
        assert_eq!(asker.ask("agent", "where", "").await, json!({ "ok": format!("agent 0 {agent}") }));
        let of_pid = asker.ask(&agent.to_string(), "where", "").await;
        assert_eq!(of_pid, json!({ "ok": format!("agent 0 {agent}") }));
        let of_other = asker.ask(&other.to_string(), "where", "").await;
        assert_eq!(of_other, json!({ "ok": format!("worker 1 {other}") }));
        // As large as may be.
        let large = "x".repeat(1 << 20);
        assert_eq!(asker.ask("agent", "echo", &large).await["ok"].as_str().map(str::len), Some(1 << 20));
        // The agent asks a worker.
        let what = json!({ "to": other.to_string(), "action": "where" });
        let told = asker.ask("agent", "ask", &what.to_string()).await;
        let told: Value = serde_json::from_str(told["ok"].as_str().unwrap()).unwrap();
        assert_eq!(told, json!({ "ok": format!("worker 1 {other}") }));
        // Who asked is stamped.
        let log = workers[1].events("request").await;
        let roles: Vec<_> = log.iter().map(|entry| entry.sender.clone().unwrap().role).collect();
        assert_eq!(roles, ["worker", "agent"]);
    }
}

#[tokio::test]
async fn every_way_to_get_no_answer_is_told_apart() {
    for guest in Guest::PROBES {
        let limits = "[limits]\nmessage-size = \"64KiB\"";
        let cluster = Cluster::start(&[app(guest, 2).more(limits)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let other = workers[1].pid.to_string();
        let asker = &mut workers[0];
        for to in ["agent", &other] {
            assert_eq!(asker.ask(to, "fail", "").await, json!({ "error": "failed(asked to fail)" }));
            let none = asker.ask(to, "unheard-of", "").await;
            assert_eq!(none, json!({ "error": "failed(no answer to `unheard-of`)" }));
            let begun = Instant::now();
            assert_eq!(asker.ask_within(to, "sleep", "700", 100).await, json!({ "error": "timeout" }));
            assert!(begun.elapsed() >= Duration::from_millis(100));
            // What came too late is dropped; the next is not confused with it.
            assert_eq!(asker.ask(to, "echo", "next").await, json!({ "ok": "next" }));
            let large = "x".repeat((64 << 10) + 1);
            assert_eq!(asker.ask(to, "echo", &large).await, json!({ "error": "too-large(65536)" }));
            for action in ["", "hatchery.x", "a%0Ab", &"a".repeat(257)] {
                let error = asker.ask(to, action, "").await;
                assert!(error["error"].as_str().unwrap().starts_with("invalid-action("), "{error}");
            }
        }
        for pid in ["0", "999999"] {
            assert_eq!(asker.ask(pid, "echo", "").await, json!({ "error": "no-such-process" }));
        }
    }
}

#[tokio::test]
async fn a_trap_is_a_failure_and_the_process_goes_on() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, 2)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let other = workers[1].pid.to_string();
        for to in ["agent", &other] {
            let answer = workers[0].ask(to, "trap", "").await;
            assert!(answer["error"].as_str().unwrap().starts_with("failed("), "{to}: {answer}");
            assert_eq!(workers[0].ask(to, "echo", "well").await, json!({ "ok": "well" }), "{to}");
        }
        // No process went.
        assert_eq!(workers[0].processes().await.iter().map(|p| p.pid).max(), other.parse().ok());
    }
}

#[tokio::test]
async fn who_can_not_answer_says_so() {
    // An agent without a component, and workers without a responder.
    let schedule = "[[schedule]]\nname = \"none\"\ninterval = \"1h\"\ntype = \"one\"";
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1).more(schedule)]).await;
    let mut probe = Probe::open(cluster.addr()).await;
    assert_eq!(probe.ask("agent", "echo", "").await, json!({ "error": "no-responder" }));
    drop(cluster);

    // Workers that know nothing of us.
    let app = App::new("mixed").worker(Guest::HelloP3, "workers = 1").agent(Guest::ProbeP3, "");
    let cluster = Cluster::start(&[app]).await;
    assert_eq!(crate::support::get(cluster.addr(), "/").await.text(), "Hello, world");
    drop(cluster);

    // Nobody at all: an app without an agent.
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let mut probe = Probe::open(cluster.addr()).await;
    let error = probe.ask("agent", "echo", "").await;
    assert!(["no-responder", "no-such-process"].contains(&error["error"].as_str().unwrap()), "{error}");
}

#[tokio::test]
async fn all_workers_answer_the_asker_too() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 3)]).await;
    let mut workers = Probe::each(cluster.addr(), 3).await;
    let mut all: Vec<_> =
        workers.iter().map(|w| (w.pid, format!("ok worker {} {}", w.slot, w.pid))).collect();
    all.sort();
    assert_eq!(answers(&workers[0].ask("app", "where", "").await), all);
    // From the agent.
    let what = json!({ "to": "app", "action": "where" });
    let told = workers[0].ask("agent", "ask", &what.to_string()).await;
    let told: Value = serde_json::from_str(told["ok"].as_str().unwrap()).unwrap();
    assert_eq!(answers(&told), all);
    // All fail.
    let failed = answers(&workers[0].ask("app", "fail", "").await);
    assert!(failed.len() == 3 && failed.iter().all(|(_, why)| why == "failed(asked to fail)"), "{failed:?}");
}

#[tokio::test]
async fn one_that_does_not_answer_in_time_is_marked() {
    // One that is stopped by the system, as if it hung.
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 3)]).await;
    let mut workers = Probe::each(cluster.addr(), 3).await;
    let stuck = workers[2].pid;
    let process = cluster.process("worker probe/2");
    process.signal(nix::sys::signal::Signal::SIGSTOP);
    let got = workers[0].ask_within("app", "echo", "hi", 1500).await;
    process.signal(nix::sys::signal::Signal::SIGCONT);
    for (pid, answer) in answers(&got) {
        assert_eq!(answer, if pid == stuck { "timeout" } else { "ok hi" }, "{pid}");
    }
    assert_eq!(answers(&got).len(), 3);
    eventually("it answers again", async || {
        answers(&workers[0].ask("app", "echo", "hi").await).iter().all(|(_, answer)| answer == "ok hi")
    })
    .await;
}

#[tokio::test]
async fn a_02_worker_can_not_answer_itself_and_hears_so_at_once() {
    let cluster = Cluster::start(&[app(Guest::ProbeP2, 2)]).await;
    let mut workers = Probe::each(cluster.addr(), 2).await;
    let (own, other) = (workers[0].pid, workers[1].pid);
    let begun = Instant::now();
    let got = workers[0].ask_within("app", "echo", "hi", 20_000).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited for itself");
    for (pid, answer) in answers(&got) {
        match pid {
            pid if pid == own => assert!(answer.starts_with("failed("), "{answer}"),
            pid => assert_eq!((pid, answer.as_str()), (other, "ok hi")),
        }
    }
    assert_eq!(answers(&got).len(), 2);
    let itself = workers[0].ask(&own.to_string(), "echo", "hi").await;
    assert!(itself["error"].as_str().unwrap().starts_with("failed("), "{itself}");
}

#[tokio::test]
async fn a_process_that_dies_before_it_answers_is_no_process() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 2)]).await;
    let mut workers = Probe::each(cluster.addr(), 2).await;
    let [asker, other] = workers.as_mut_slice() else { unreachable!() };
    let to = other.pid.to_string();
    let (answer, ()) = tokio::join!(asker.ask(&to, "sleep", "20000"), async {
        // It is with the other when that one has it in its log.
        eventually("the question", async || other.events("request").await.len() == 1).await;
        cluster.process("worker probe/1").signal(nix::sys::signal::Signal::SIGKILL);
    });
    assert_eq!(answer, json!({ "error": "no-such-process" }));
}

#[tokio::test]
async fn a_03_instance_asks_many_at_once() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 1)]).await;
    let begun = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let addr = cluster.addr();
        asked.spawn(async move {
            let mut probe = Probe::open(addr).await;
            probe.ask("agent", "sleep", "300").await
        });
    }
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.unwrap(), json!({ "ok": "300" }));
    }
    // One after the other they would take 15 s.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
