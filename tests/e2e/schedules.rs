//! Schedules: intervals and cron, who runs them, overlap, payloads, failures.

use std::time::{Duration, Instant};

use crate::support::{App, Cluster, Entry, Guest, Probe, eventually};

fn app(guest: Guest, schedules: &str) -> App {
    App::probe(guest, 2).agent(guest, "").more(schedules)
}

fn named<'e>(log: &'e [Entry], name: &str) -> Vec<&'e Entry> {
    log.iter().filter(|entry| entry.event == "task" && entry.name.as_deref() == Some(name)).collect()
}

/// How often a task ran on each worker, and on the agent.
async fn runs(workers: &mut [Probe], name: &str) -> (Vec<usize>, usize) {
    let mut counts = Vec::new();
    for worker in workers.iter_mut() {
        counts.push(named(&worker.events("task").await, name).len());
    }
    (counts, named(&workers[0].agent_events("task").await, name).len())
}

#[tokio::test]
async fn intervals_run_on_one_on_all_or_on_the_agent() {
    let schedules = r#"
[[schedule]]
name = "on-one"
interval = "100ms"
type = "one"
payload = "for one"
[[schedule]]
name = "on-all"
interval = "100ms"
type = "all"
[[schedule]]
name = "on-agent"
interval = "100ms"
type = "agent"
payload = ""
[[schedule]]
name = "never"
interval = "10ms"
type = "all"
enabled = false
immediate = true
"#;
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, schedules)]).await;
        let mut workers = Probe::each(cluster.addr(), 2).await;
        eventually("ten of each", async || {
            let (one, _) = runs(&mut workers, "on-one").await;
            let (all, _) = runs(&mut workers, "on-all").await;
            let (_, agent) = runs(&mut workers, "on-agent").await;
            one.iter().sum::<usize>() >= 10 && all.iter().all(|count| *count >= 10) && agent >= 10
        })
        .await;
        let (one, one_agent) = runs(&mut workers, "on-one").await;
        let (all, all_agent) = runs(&mut workers, "on-all").await;
        let (none, _) = runs(&mut workers, "on-agent").await;
        assert_eq!((one_agent, all_agent, none), (0, 0, vec![0, 0]));
        // All means all: at most a tick lies between two looks.
        assert!(all[0].abs_diff(all[1]) <= 3, "{all:?}");
        // One means one: not both each time.
        assert!(one.iter().sum::<usize>() < all.iter().sum::<usize>() * 3 / 4, "{one:?} {all:?}");
        let (never, never_agent) = runs(&mut workers, "never").await;
        assert_eq!((never, never_agent), (vec![0, 0], 0));

        let log = [workers[0].events("task").await, workers[1].events("task").await].concat();
        assert!(named(&log, "on-one").iter().all(|entry| entry.data.as_deref() == Some("for one")));
        assert!(named(&log, "on-all").iter().all(|entry| entry.data.is_none()));
        let log = workers[0].agent_events("task").await;
        assert!(named(&log, "on-agent").iter().all(|entry| entry.data.as_deref() == Some("")));
        // The schedule's log.
        cluster.log.wait_for("probe agent schedule on-one: succeeded").await;
    }
}

#[tokio::test]
async fn an_interval_waits_and_immediate_does_not() {
    let schedules = r#"
[[schedule]]
name = "later"
interval = "1h"
type = "all"
[[schedule]]
name = "at-once"
interval = "1h"
type = "all"
immediate = true
"#;
    let cluster = Cluster::start(&[app(Guest::ProbeP3, schedules)]).await;
    let mut workers = Probe::each(cluster.addr(), 2).await;
    eventually("the immediate one", async || runs(&mut workers, "at-once").await.0 == [1, 1]).await;
    assert_eq!(runs(&mut workers, "later").await.0, [0, 0]);
}

#[tokio::test]
async fn timers_need_no_agent_component() {
    let schedule = "[[schedule]]\nname = \"tick\"\ninterval = \"50ms\"\ntype = \"all\"";
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP2, 1).more(schedule)]).await;
    let mut probe = Probe::open(cluster.addr()).await;
    eventually("five ticks", async || probe.events("task").await.len() >= 5).await;
    assert_eq!(cluster.titles().len(), 2);
}

#[tokio::test]
async fn cron_runs_each_second() {
    let schedules = r#"
[[schedule]]
name = "each-second"
cron = "* * * * * *"
timezone = "Asia/Kathmandu"
type = "agent"
[[schedule]]
name = "not-now"
cron = "0 0 1 1 *"
type = "agent"
"#;
    let cluster = Cluster::start(&[app(Guest::ProbeP3, schedules)]).await;
    let begun = Instant::now();
    let mut workers = Probe::each(cluster.addr(), 2).await;
    eventually("four of them", async || runs(&mut workers, "each-second").await.1 >= 4).await;
    // Four ticks have three whole seconds between them.
    assert!(begun.elapsed() >= Duration::from_millis(2500), "{:?}", begun.elapsed());
    let (_, count) = runs(&mut workers, "each-second").await;
    assert!(count as u64 <= begun.elapsed().as_secs() + 2, "{count} in {:?}", begun.elapsed());
    assert_eq!(runs(&mut workers, "not-now").await.1, 0);
}

#[tokio::test]
async fn a_task_that_still_runs_is_skipped_unless_it_may_overlap() {
    let schedules = r#"
[[schedule]]
name = "skips"
interval = "100ms"
type = "all"
payload = "sleep:60000"
[[schedule]]
name = "overlaps"
interval = "100ms"
type = "all"
overlap = "allow"
payload = "sleep:60000"
"#;
    let more = format!("{schedules}\n[limits]\nstop-timeout = \"1s\"");
    let cluster = Cluster::start(&[app(Guest::ProbeP3, &more)]).await;
    let mut workers = Probe::each(cluster.addr(), 2).await;
    eventually("five at once", async || runs(&mut workers, "overlaps").await.0.iter().all(|n| *n >= 5)).await;
    cluster.log.wait_for("skips: skipped").await;
    assert_eq!(runs(&mut workers, "skips").await.0, [1, 1]);
}

#[tokio::test]
async fn a_skipped_task_runs_again_when_it_has_ended() {
    let schedule =
        "[[schedule]]\nname = \"slow\"\ninterval = \"100ms\"\ntype = \"one\"\npayload = \"sleep:250\"";
    let cluster = Cluster::start(&[app(Guest::ProbeP3, schedule)]).await;
    cluster.log.wait_for_count("slow: succeeded", 3).await;
    assert!(cluster.log.count("slow: skipped") >= 2);
}

#[tokio::test]
async fn a_task_that_fails_is_logged_and_comes_again() {
    let schedules = r#"
[[schedule]]
name = "fails"
interval = "100ms"
type = "all"
[[schedule]]
name = "fails-too"
interval = "100ms"
type = "agent"
"#;
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[app(guest, &schedules.replace("fails-too", "fail-too"))]).await;
        for name in ["fails", "fail-too"] {
            // Not the one and done: the schedule goes on.
            cluster.log.wait_for_count(&format!("schedule {name}: failed"), 3).await;
            let lines = cluster.log.with(&format!("schedule {name}: failed"));
            assert!(
                lines.iter().all(|line| line.contains("asked to fail") && line.contains("ERROR")),
                "{lines:?}"
            );
        }
        assert_eq!(cluster.titles().len(), 3);
    }
}
