//! Processes that die are replaced, and those that stay notice as little as may be.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{App, Cluster, Guest, Probe, eventually, eventually_some, try_get};

#[tokio::test]
async fn a_killed_worker_is_replaced() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 2).agent(guest, "")]).await;
        let mut before = Probe::each(cluster.addr(), 2).await;
        let stays = &mut before[0];
        eventually("its cluster-ready", async || stays.events("cluster-ready").await.len() == 1).await;
        stays.clear().await;
        let old = before[1].pid;
        let old_process = cluster.process("worker probe/1");
        old_process.signal(Signal::SIGKILL);

        let stays = &mut before[0];
        eventually("a ready replacement", async || {
            let list = stays.processes().await;
            list.iter().any(|p| p.role == "worker" && p.slot == 1 && p.pid != old && p.state == "ready")
        })
        .await;
        let mut after = Probe::each(cluster.addr(), 2).await;
        assert_eq!(after[0].pid, before[0].pid);
        assert!(after[1].pid > old, "a pid came again");
        assert_ne!(cluster.process("worker probe/1").id, old_process.id);
        assert_eq!(cluster.titles().len(), 3);

        // The new one was told that the cluster is ready, once; nobody else was told again.
        eventually("its cluster-ready", async || after[1].events("cluster-ready").await.len() == 1).await;
        assert_eq!(after[0].events("cluster-ready").await, []);
        assert_eq!(after[0].agent_events("cluster-ready").await.len(), 1);
        // Who stayed heard of the end and of the beginning.
        let heard = after[0].events("processes-changed").await;
        let lists: Vec<Vec<u64>> =
            heard.iter().map(|e| e.processes.as_ref().unwrap().iter().map(|p| p.pid).collect()).collect();
        assert!(lists.iter().any(|list| !list.contains(&old)), "{lists:?}");
        assert!(lists.last().unwrap().contains(&after[1].pid), "{lists:?}");
        // It is part of everything.
        let new = after[1].pid;
        assert_eq!(after[0].ask(&new.to_string(), "echo", "hi").await, json!({ "ok": "hi" }));
        after[0].send("app", "all", 1).await;
        eventually("a message", async || after[1].messages("all").await.len() == 1).await;
    }
}

#[tokio::test]
async fn meanwhile_the_others_serve() {
    for balance in ["round-robin", "least-connections", "shared"] {
        let keys = format!("workers = 2\nbalance = \"{balance}\"\nenvironment = {{ START = \"slow:500\" }}");
        let cluster = Cluster::start(&[App::new("half").worker(Guest::ProbeP3, &keys)]).await;
        let workers = Probe::each(cluster.addr(), 2).await;
        let old = workers[1].pid;
        drop(workers);
        cluster.process("worker half/1").signal(Signal::SIGKILL);
        // Whoever is connected from here on is served; only what was with the dead one is lost. What
        // is in the very act of being handed over may be.
        let (mut answered, mut broken) = (0, 0);
        eventually("the replacement", async || match try_get(cluster.addr(), "/self").await {
            Ok(reply) => {
                answered += 1;
                let pid = reply.json::<serde_json::Value>()["pid"].as_u64().unwrap();
                let slot = reply.json::<serde_json::Value>()["slot"].as_u64().unwrap();
                slot == 1 && pid != old
            }
            Err(_) => {
                broken += 1;
                false
            }
        })
        .await;
        assert!(answered > 5 && broken <= 1, "{balance}: {answered} answered, {broken} broken");
    }
}

#[tokio::test]
async fn a_worker_that_dies_again_and_again_comes_again() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 2)]).await;
    let mut seen = BTreeMap::new();
    for _ in 0..6 {
        let process = eventually_some("a process in slot 1", async || {
            cluster.processes_of("worker probe/1").into_iter().find(|process| !seen.contains_key(&process.id))
        })
        .await;
        process.signal(Signal::SIGKILL);
        seen.insert(process.id, process);
    }
    Probe::each(cluster.addr(), 2).await;
    assert_eq!(cluster.titles().len(), 2);
}

#[tokio::test]
async fn all_workers_at_once_come_again() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 3).agent(Guest::ProbeP3, "")]).await;
    let old: Vec<_> = Probe::each(cluster.addr(), 3).await.iter().map(|probe| probe.pid).collect();
    for process in cluster.processes_of("worker probe") {
        process.signal(Signal::SIGKILL);
    }
    eventually("the end of all", async || {
        cluster.processes_of("worker probe").len() == 3 && cluster.log.count("exited") >= 3
    })
    .await;
    let new = Probe::each(cluster.addr(), 3).await;
    assert!(new.iter().all(|probe| !old.contains(&probe.pid)));
}

#[tokio::test]
async fn a_killed_agent_is_replaced_and_its_messages_are_kept() {
    for guest in Guest::PROBES {
        // Its start takes a while, so that there is a time without an agent.
        let slow = r#"environment = { START = "slow:1000" }"#;
        let cluster = Cluster::start(&[App::probe(guest, 2).agent(guest, slow)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let old = workers[0].agent_pid().await;
        assert_eq!(workers[0].send("agent", "before", 10).await.ok, 10);
        cluster.process("agent probe/0").signal(Signal::SIGKILL);
        let sender = &mut workers[0];
        eventually("its end", async || sender.processes().await.iter().all(|p| p.pid != old)).await;
        assert_eq!(sender.send("agent", "meanwhile", 300).await.ok, 300);
        // A question waits for it, too.
        assert_eq!(sender.ask("agent", "echo", "patient").await, json!({ "ok": "patient" }));
        let new = sender.agent_pid().await;
        assert!(new > old);
        eventually("all of them", async || sender.agent_messages("meanwhile").await.len() >= 300).await;
        let got: Vec<_> =
            sender.agent_messages("meanwhile").await.into_iter().map(|entry| entry.data.unwrap()).collect();
        assert_eq!(got, (0..300).map(|n: u32| n.to_string()).collect::<Vec<_>>());
        assert_eq!(sender.agent_events("cluster-ready").await.len(), 1);
        // The workers went on all the while.
        assert_eq!(sender.events("cluster-ready").await.len(), 1);
        assert_eq!(cluster.titles().len(), 3);
    }
}

#[tokio::test]
async fn schedules_go_on_with_a_new_agent_but_not_at_once() {
    let schedules = r#"
[[schedule]]
name = "once"
interval = "1h"
type = "all"
immediate = true
[[schedule]]
name = "tick"
interval = "200ms"
type = "all"
"#;
    for agent in [None, Some(Guest::ProbeP3)] {
        let mut app = App::probe(Guest::ProbeP3, 1).more(schedules);
        if let Some(agent) = agent {
            app = app.agent(agent, "");
        }
        let cluster = Cluster::start(&[app]).await;
        let mut probe = Probe::open(cluster.addr()).await;
        let runs = async |probe: &mut Probe, name: &str| {
            probe.events("task").await.iter().filter(|entry| entry.name.as_deref() == Some(name)).count()
        };
        eventually("the first ones", async || {
            runs(&mut probe, "once").await == 1 && runs(&mut probe, "tick").await >= 1
        })
        .await;
        let old = cluster.process("agent probe/0");
        old.signal(Signal::SIGKILL);
        eventually("another agent", async || {
            cluster.processes_of("agent probe/0").iter().any(|process| process.id != old.id)
        })
        .await;
        let before = runs(&mut probe, "tick").await;
        eventually("more ticks", async || runs(&mut probe, "tick").await >= before + 3).await;
        assert_eq!(runs(&mut probe, "once").await, 1, "`immediate` ran again");
    }
}
