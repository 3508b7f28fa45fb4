//! Messages: order, self-delivery, kept before ready, bounds, typed errors, stamped senders.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{App, Cluster, Entry, Guest, Probe, Sent, eventually};

fn app(guest: Guest, workers: u32) -> App {
    App::probe(guest, workers).agent(guest, "")
}

/// The data of each, in order.
fn data(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.data.as_deref().unwrap()).collect()
}

fn counted(n: usize) -> Vec<String> {
    (0..n).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_thousand_messages_arrive_in_order() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, 2)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let (other, own) = (workers[1].pid.to_string(), workers[0].pid.to_string());
        for to in [&other, &own, "agent"] {
            assert_eq!(workers[0].send(to, "many", 1000).await.ok, 1000, "to {to}");
        }
        for worker in &mut workers {
            eventually("1,000 at a worker", async || worker.messages("many").await.len() >= 1000).await;
            assert_eq!(data(&worker.messages("many").await), counted(1000));
        }
        let sender = &mut workers[0];
        eventually("1,000 at the agent", async || sender.agent_messages("many").await.len() >= 1000).await;
        let got = sender.agent_messages("many").await;
        assert_eq!(data(&got), counted(1000));
        for entry in &got {
            let stamped = entry.sender.as_ref().unwrap();
            assert_eq!((stamped.pid, stamped.role.as_str(), stamped.slot), (sender.pid, "worker", 0));
        }
    }
}

#[tokio::test]
async fn a_broadcast_reaches_everybody_the_sender_too() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, 2)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        for worker in &mut workers {
            assert_eq!(worker.send("broadcast", "all", 1).await.ok, 1);
        }
        assert_eq!(workers[0].agent_sends("broadcast", "all", 1).await.ok, 1);
        let agent = workers[0].agent_pid().await;
        let senders = BTreeSet::from([agent, workers[0].pid, workers[1].pid]);
        let from = |entries: &[Entry]| -> BTreeSet<u64> {
            entries.iter().map(|entry| entry.sender.as_ref().unwrap().pid).collect()
        };
        for worker in &mut workers {
            eventually("3 at a worker", async || worker.messages("all").await.len() >= 3).await;
        }
        eventually("3 at the agent", async || workers[0].agent_messages("all").await.len() >= 3).await;
        // Three each, nine together, and not one more.
        let got = workers[0].agent_messages("all").await;
        assert_eq!((got.len(), from(&got)), (3, senders.clone()));
        for worker in &mut workers {
            let got = worker.messages("all").await;
            assert_eq!((got.len(), from(&got)), (3, senders.clone()));
        }
    }
}

#[tokio::test]
async fn to_the_app_is_to_every_worker_and_to_the_agent_is_to_it_alone() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, 2)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let sends = [("app", "of-worker"), ("agent", "to-agent")];
        for (to, action) in sends {
            assert_eq!(workers[0].send(to, action, 2).await.ok, 2);
        }
        assert_eq!(workers[0].agent_sends("app", "of-agent", 2).await.ok, 2);
        assert_eq!(workers[0].agent_sends("agent", "to-itself", 2).await.ok, 2);
        // A last one from each sender, to everybody: what came before it has come.
        workers[0].send("broadcast", "last", 1).await;
        workers[0].agent_sends("broadcast", "last", 1).await;
        let actions = |entries: &[Entry]| -> Vec<String> {
            let mut all: Vec<_> = entries.iter().filter_map(|entry| entry.action.clone()).collect();
            all.retain(|action| action != "last");
            all.sort();
            all
        };
        for worker in &mut workers {
            eventually("the last ones", async || worker.messages("last").await.len() == 2).await;
            let got = worker.events("message").await;
            assert_eq!(actions(&got), ["of-agent", "of-agent", "of-worker", "of-worker"]);
        }
        eventually("the last ones", async || workers[0].agent_messages("last").await.len() == 2).await;
        let got = workers[0].agent_events("message").await;
        assert_eq!(actions(&got), ["to-agent", "to-agent", "to-itself", "to-itself"]);
    }
}

#[tokio::test]
async fn random_ones_reach_each_of_four_workers() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 4)]).await;
    let mut workers = Probe::each(cluster.addr(), 4).await;
    assert_eq!(workers[0].send("random", "any", 400).await.ok, 400);
    assert_eq!(workers[0].agent_sends("random", "any", 400).await.ok, 400);
    let mut counts = Vec::new();
    eventually("800 in all", async || {
        counts.clear();
        for worker in &mut workers {
            counts.push(worker.messages("any").await.len());
        }
        counts.iter().sum::<usize>() >= 800
    })
    .await;
    assert_eq!(counts.iter().sum::<usize>(), 800);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!(workers[0].agent_messages("any").await.is_empty());
}

#[tokio::test]
async fn what_is_sent_in_start_arrives_when_the_cluster_is_ready() {
    for guest in Guest::PROBES {
        let environment = r#"environment = { START_SEND = "1", READY_SEND = "1" }"#;
        let app = App::new("early").worker(guest, &format!("workers = 2\n{environment}"));
        let cluster = Cluster::start(&[app.agent(guest, environment)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let agent = workers[0].agent_pid().await;
        let everybody = BTreeSet::from([agent, workers[0].pid, workers[1].pid]);
        let senders = |log: &[Entry], action: &str| -> Vec<u64> {
            let of = log.iter().filter(|entry| entry.action.as_deref() == Some(action));
            of.map(|entry| entry.sender.as_ref().unwrap().pid).collect()
        };
        let check = |log: &[Entry]| {
            for action in ["early", "hello-all"] {
                let from = senders(log, action);
                assert_eq!(from.len(), 3, "{action}: {log:?}");
                assert_eq!(from.into_iter().collect::<BTreeSet<_>>(), everybody);
            }
            // Of one sender, what it sent first comes first; and no message comes before cluster-ready.
            let at = |wanted: &dyn Fn(&Entry) -> bool| log.iter().position(wanted).unwrap();
            let ready = at(&|entry| entry.event == "cluster-ready");
            for pid in &everybody {
                let of = |action: &'static str| {
                    at(&|entry: &Entry| {
                        entry.action.as_deref() == Some(action) && entry.sender.as_ref().unwrap().pid == *pid
                    })
                };
                assert!(ready < of("early") && of("early") < of("hello-all"), "{log:?}");
            }
        };
        for worker in &mut workers {
            eventually("all six", async || worker.events("message").await.len() >= 6).await;
            check(&worker.log().await);
        }
        eventually("all six", async || workers[0].agent_events("message").await.len() >= 6).await;
        let log = workers[0].ask("agent", "log", "").await;
        check(&serde_json::from_str::<Vec<Entry>>(log["ok"].as_str().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn what_can_not_be_sent_is_an_error_and_hurts_nobody() {
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, 2).more("[limits]\nmessage-size = \"64KiB\"")]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        let long = "a".repeat(257);
        let (limit, most) = (64 * 1024, "a".repeat(256));
        for to in ["broadcast", "app", "agent", "random", &workers[1].pid.to_string()] {
            let sent = workers[0].send_sized(to, "large", limit + 1).await;
            assert_eq!((sent.ok, sent.errors.as_slice()), (0, ["too-large(65536)".to_owned()].as_slice()));
            for action in [&*long, "", "with%0Aline", "hatchery.mine", "nul%00"] {
                let sent = workers[0].send(to, action, 1).await;
                assert_eq!(sent.ok, 0, "{action:?} to {to}");
                assert!(sent.errors[0].starts_with("invalid-action("), "{action:?}: {:?}", sent.errors);
            }
            // The largest that are allowed.
            assert_eq!(workers[0].send_sized(to, &most, limit).await.ok, 1, "to {to}");
        }
        for pid in [0, 999_999, u64::MAX] {
            let sent = workers[0].send(&pid.to_string(), "nobody", 1).await;
            assert_eq!(sent.errors, ["no-such-process"], "pid {pid}");
        }
        // All are well, and got the allowed ones only: broadcast, app, and perhaps the random one.
        workers[0].send("broadcast", "last", 1).await;
        for worker in &mut workers {
            eventually("the last one", async || worker.messages("last").await.len() == 1).await;
            let got = worker.events("message").await;
            let large: Vec<_> = got.iter().filter(|e| e.action.as_deref() == Some(&most)).collect();
            assert_eq!(large.len() + 1, got.len());
            assert!(large.len() >= 2 && large.iter().all(|entry| entry.size == Some(limit)));
        }
        assert_eq!(cluster.titles().len(), 3);
        assert_eq!(cluster.log.count("WARN") + cluster.log.count("ERROR"), 0, "{}", cluster.log.all());
    }
}

#[tokio::test]
async fn a_pid_that_is_gone_is_no_process() {
    let cluster = Cluster::start(&[app(Guest::ProbeP3, 2)]).await;
    let mut workers = Probe::each(cluster.addr(), 2).await;
    let gone = workers[1].pid;
    cluster.process("worker probe/1").signal(nix::sys::signal::Signal::SIGKILL);
    let sender = &mut workers[0];
    eventually("its end", async || sender.processes().await.iter().all(|process| process.pid != gone)).await;
    assert_eq!(sender.send(&gone.to_string(), "late", 1).await.errors, ["no-such-process"]);
    assert_eq!(sender.ask(&gone.to_string(), "echo", "late").await, json!({ "error": "no-such-process" }));
}

#[tokio::test]
async fn a_slow_receiver_loses_only_its_own() {
    // WASI 0.2 takes one call at a time: while it sleeps it takes no message.
    let limits = "[limits]\nqueue-size = \"256KiB\"\nmessage-size = \"16KiB\"";
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP2, 3).more(limits)]).await;
    let mut workers = Probe::each(cluster.addr(), 3).await;
    let [sender, healthy, slow] = workers.as_mut_slice() else { unreachable!() };
    let receivers = [slow.pid.to_string(), healthy.pid.to_string()];
    tokio::join!(
        async {
            slow.get::<serde_json::Value>("/sleep?ms=5000").await;
        },
        async {
            // Each gets 600 KiB, more than twice what waits for one process.
            for round in 0..60 {
                for to in &receivers {
                    let path = format!("/send?to={to}&action=load&n=10&size=1024");
                    let sent: Sent = sender.post(&path, "").await;
                    assert_eq!((sent.ok, sent.errors.len()), (10, 0), "round {round} to {to}");
                }
            }
            eventually("all of it", async || healthy.messages("load").await.len() == 600).await;
        }
    );
    // It goes on, and takes messages again as soon as there is room. What it got of the load is what
    // came first, up to the bound.
    eventually("what comes later", async || {
        sender.send(&receivers[0], "after", 1).await;
        !slow.messages("after").await.is_empty()
    })
    .await;
    let got = slow.messages("load").await;
    assert!((100..300).contains(&got.len()), "{} of 600", got.len());
    for (number, data) in data(&got).into_iter().enumerate() {
        assert!(data.starts_with(&format!("{}.", number % 10)), "{number}: {data:.8}");
    }
}
