//! From `hatchery run` to the ready line, and every way in which a start fails.

use std::{collections::BTreeSet, net::TcpListener, time::Instant};

use crate::support::{App, Cluster, Entry, Guest, Probe, eventually, side_by_side};

/// One worker and an agent with an environment, in which the probe finds how to start.
fn with_environment(guest: Guest, environment: &str) -> App {
    let environment = format!("environment = {{ {environment} }}");
    App::new("probe").worker(guest, &format!("workers = 1\n{environment}")).agent(guest, &environment)
}

#[tokio::test]
async fn ready_means_that_all_processes_are_there_and_serve() {
    for guest in Guest::PROBES {
        let app = App::probe(guest, 2).agent(guest, "");
        let begun = Instant::now();
        let cluster = Cluster::start(&[app]).await;
        println!("{guest:?}: an agent and 2 workers were ready after {:?}", begun.elapsed());
        let titles: Vec<_> = cluster.titles().into_iter().collect();
        let wanted = ["agent probe/0", "worker probe/0", "worker probe/1"];
        assert_eq!(titles, wanted.map(|title| (format!("hatchery: {title}"), 1)));

        let probes = Probe::each(cluster.addr(), 2).await;
        for mut probe in probes {
            let seen = probe.processes().await;
            let seen: Vec<_> = seen.iter().map(|p| (p.role.as_str(), p.slot, p.state.as_str())).collect();
            assert_eq!(seen, [("agent", 0, "ready"), ("worker", 0, "ready"), ("worker", 1, "ready")]);
            let app: serde_json::Value = probe.get("/app").await;
            assert_eq!(app, serde_json::json!({ "name": "probe", "version": "1.2.3" }));
        }
        assert_eq!(cluster.stdout.all(), format!("ready app=probe addr={}\n", cluster.addr()));
    }
}

#[tokio::test]
async fn cluster_ready_comes_once_to_each_and_after_start() {
    for guest in Guest::PROBES {
        let app = App::probe(guest, 3).agent(guest, "");
        let cluster = Cluster::start(&[app]).await;
        let mut probes = Probe::each(cluster.addr(), 3).await;
        let order = |log: &[Entry]| -> Vec<String> {
            let lifecycle = log.iter().filter(|entry| ["start", "cluster-ready"].contains(&&*entry.event));
            lifecycle.map(|entry| entry.event.clone()).collect()
        };
        for probe in &mut probes {
            eventually("cluster-ready", async || !probe.events("cluster-ready").await.is_empty()).await;
            assert_eq!(order(&probe.log().await), ["start", "cluster-ready"]);
        }
        assert_eq!(probes[0].agent_events("start").await.len(), 1);
        assert_eq!(probes[0].agent_events("cluster-ready").await.len(), 1);
    }
}

#[tokio::test]
async fn everybody_hears_who_is_there() {
    for guest in Guest::PROBES {
        let app = App::probe(guest, 2).agent(guest, "");
        let cluster = Cluster::start(&[app]).await;
        let all_ready = |events: &[Entry]| {
            let Some(last) = events.last().and_then(|event| event.processes.as_ref()) else { return false };
            last.iter().map(|p| (p.role.as_str(), p.slot)).eq([("agent", 0), ("worker", 0), ("worker", 1)])
                && last.iter().all(|p| p.state == "ready" && p.generation == 1)
        };
        for probe in &mut Probe::each(cluster.addr(), 2).await {
            eventually("a worker's list", async || all_ready(&probe.events("processes-changed").await)).await;
            eventually("the agent's list", async || {
                all_ready(&probe.agent_events("processes-changed").await)
            })
            .await;
        }
    }
}

#[tokio::test]
async fn the_agent_is_first() {
    // As long as it is not ready, no worker is even spawned.
    let app = with_environment(Guest::ProbeP3, r#"START = "hang", START_ROLE = "agent""#);
    let mut cluster = Cluster::spawn(&[app.more("[limits]\nstart-timeout = \"2s\"")], &[]);
    eventually("the agent", async || cluster.processes_of("agent probe").len() == 1).await;
    let mut workers = 0;
    eventually("the end", async || {
        workers += cluster.processes_of("worker probe").len();
        cluster.processes().is_empty()
    })
    .await;
    assert_eq!(workers, 0);
    cluster.failed().await;
}

#[tokio::test]
async fn an_app_needs_no_agent() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 1)]).await;
    let mut probe = Probe::open(cluster.addr()).await;
    assert_eq!(probe.processes().await.len(), 1);
    assert_eq!(cluster.titles().into_keys().collect::<Vec<_>>(), ["hatchery: worker probe/0"]);
}

#[tokio::test]
async fn an_app_needs_no_workers() {
    let environment = r#"environment = { READY_SEND = "1" }"#;
    let app = App::new("alone").agent(Guest::ProbeP3, environment);
    let cluster = Cluster::start(&[app]).await;
    assert_eq!(cluster.stdout.all(), "ready app=alone\n");
    assert_eq!(cluster.titles().into_keys().collect::<Vec<_>>(), ["hatchery: agent alone/0"]);
}

#[tokio::test]
async fn a_guest_that_does_not_start_ends_the_start() {
    let causes = [("error", "asked to fail"), ("trap", "trap"), ("exit", "exit"), ("hang", "start-timeout")];
    for guest in Guest::PROBES {
        for (role, who) in [("worker", "worker 0 of probe"), ("agent", "agent of probe")] {
            let fails = async |(how, cause)| {
                let environment = format!("START = \"{how}\", START_ROLE = \"{role}\"");
                let timeout = if how == "hang" { "1s" } else { "30s" };
                let limits = format!("[limits]\nstart-timeout = \"{timeout}\"");
                let app = with_environment(guest, &environment).more(&limits);
                let error = Cluster::spawn(&[app], &[]).failed().await;
                assert!(error.contains(who) && error.contains(cause), "{guest:?} {role} {how}: {error}");
            };
            side_by_side(causes, fails).await;
        }
    }
}

#[tokio::test]
async fn a_component_that_can_not_run_ends_the_start() {
    let compile = |text: &str| wat::parse_str(text).unwrap();
    let probe = Guest::ProbeP3.wasm();
    let cases = [
        (b"\0asm".to_vec(), "not a WebAssembly component"),
        (b"no wasm at all".to_vec(), "not a WebAssembly component"),
        (compile("(module)"), "core module"),
        (compile("(component)"), "export"),
        (compile(r#"(component (import "a:b/c@1.0.0" (instance)))"#), "a:b/c@1.0.0"),
        (compile(r#"(component (import "a:b/c@1.0.0" (instance (export "f" (func)))))"#), "a:b/c@1.0.0"),
        (probe[..probe.len() / 2].to_vec(), "cannot compile"),
    ];
    for (wasm, cause) in cases {
        let app = App::new("broken").worker_wasm(wasm, "workers = 1");
        let error = Cluster::spawn(&[app], &[]).failed().await;
        assert!(error.contains(cause), "{cause}: {error}");
        assert!(error.contains("broken") && error.contains("worker.wasm"), "{error}");
    }
}

#[tokio::test]
async fn a_taken_port_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let first = App::probe(Guest::ProbeP3, 1);
    let app = App::new("second").worker(Guest::ProbeP3, &format!("listen = \"{addr}\""));
    let error = Cluster::spawn(&[first, app], &[]).failed().await;
    assert!(error.contains(&format!("{addr}")) && error.contains("second"), "{error}");
    assert!(error.contains("in use"), "{error}");
}

#[tokio::test]
async fn an_app_that_does_not_start_ends_the_others() {
    let good = App::probe(Guest::ProbeP3, 1);
    let bad = App::new("bad").worker(Guest::ProbeP3, "workers = 2\nenvironment = { START = \"error\" }");
    let mut cluster = Cluster::spawn(&[good, bad], &[]);
    let status = cluster.ended(crate::support::DEADLINE).await;
    assert_eq!(status.code(), Some(1));
    assert_eq!(cluster.processes(), []);
    let error = cluster.log.with("error: ").pop().unwrap();
    assert!(error.contains("of bad") && error.contains("asked to fail"), "{error}");
}

#[tokio::test]
async fn apps_know_nothing_of_each_other() {
    let app = |name| App::new(name).worker(Guest::ProbeP3, "workers = 2").agent(Guest::ProbeP3, "");
    let cluster = Cluster::start(&[app("one"), app("two")]).await;
    let mut one = Probe::each(cluster.addr_of("one"), 2).await;
    let mut two = Probe::each(cluster.addr_of("two"), 2).await;
    let pids = async |probe: &mut Probe| -> BTreeSet<u64> {
        probe.processes().await.iter().map(|process| process.pid).collect()
    };
    let (in_one, in_two) = (pids(&mut one[0]).await, pids(&mut two[0]).await);
    assert_eq!((in_one.len(), in_two.len()), (3, 3));
    assert!(in_one.is_disjoint(&in_two), "{in_one:?} {in_two:?}");

    for stranger in &in_two {
        let sent = one[0].send(&stranger.to_string(), "stray", 1).await;
        assert_eq!(sent.errors, ["no-such-process"]);
        let answer = one[0].ask(&stranger.to_string(), "echo", "stray").await;
        assert_eq!(answer["error"], "no-such-process");
    }
    let answer = one[0].ask("app", "where", "").await;
    let answered: BTreeSet<u64> =
        answer["answers"].as_array().unwrap().iter().map(|a| a["pid"].as_u64().unwrap()).collect();
    assert!(answered.is_subset(&in_one) && answered.len() == 2, "{answer}");

    assert_eq!(one[0].send("broadcast", "inside", 5).await.ok, 5);
    for probe in &mut one {
        eventually("its own message", async || probe.messages("inside").await.len() == 5).await;
    }
    // What comes next in the other app shows that nothing came before it.
    assert_eq!(two[0].send("broadcast", "after", 1).await.ok, 1);
    for probe in &mut two {
        eventually("its own message", async || probe.messages("after").await.len() == 1).await;
        assert_eq!(probe.events("message").await.len(), 1);
    }
    assert_eq!(two[0].agent_events("message").await.len(), 1);
}
