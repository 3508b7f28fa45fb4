//! `[deploy] health`: what does not pass does not serve, and what does, does.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{App, Cluster, Guest, Load, Probe, eventually, get, pairs, side_by_side};

fn app(guest: Guest, keys: &str, deploy: &str) -> App {
    let keys = format!("workers = 2\n{keys}");
    App::new("probe").worker(guest, &keys).agent(guest, "").more(&format!("[deploy]\n{deploy}"))
}

fn write(cluster: &Cluster, app: &App) {
    app.write(&cluster.folder("probe"));
}

#[tokio::test]
async fn what_does_not_pass_never_serves() {
    let all =
        [(Guest::ProbeP3, "round-robin"), (Guest::ProbeP2, "least-connections"), (Guest::ProbeP3, "shared")];
    side_by_side(all, async |(guest, balance)| {
        let keys = format!("balance = \"{balance}\"");
        // What is asked for ever would hold each of them up when it stops.
        let limits = "[limits]\nstop-timeout = \"300ms\"";
        let app = |deploy: &str| app(guest, &keys, &format!("health-within = \"600ms\"\n{deploy}\n{limits}"));
        let cluster = Cluster::start(&[app("health = \"/hello\"")]).await;
        let titles = cluster.titles();
        let before: Vec<u64> = Probe::each(cluster.addr(), 2).await.iter().map(|probe| probe.pid).collect();
        let load = Load::light(cluster.addr());
        let end = "; version 1.2.3 (generation 1) goes on serving";
        for (count, (deploy, reason)) in (1..).zip([
            ("health = \"/nope\"", "GET /nope: answered 404, not 200"),
            ("health = \"/hello\"\nhealth-status = 204", "GET /hello: answered 200, not 204"),
            ("health = \"/trap\"", "GET /trap: answered 500, not 200"),
            (
                "health = \"/await-forever\"\nhealth-timeout = \"200ms\"",
                "GET /await-forever: gave no answer within 200ms",
            ),
            ("health = \"/hello\"\nhealth-successes = 100", "of 100 in a row"),
        ]) {
            write(&cluster, &app(deploy));
            cluster.master().signal(Signal::SIGHUP);
            eventually("its end", async || {
                // Those who accept for themselves must not begin before it has passed.
                assert_eq!(get(cluster.addr(), "/self").await.json::<Value>()["generation"], 1);
                cluster.log.count(end) >= count
            })
            .await;
            let log = cluster.log.all();
            let last = &log[log.rfind("reload of probe failed: worker ").expect("a reason")..];
            let last = &last[..last.find(end).expect("the end")];
            assert!(last.contains(reason), "{reason}: {last}");
            assert!(last.contains("did not pass its health check within 600ms (`health-within`)"), "{last}");
            eventually("the failed one's end", async || cluster.titles() == titles).await;
        }
        load.goes_on(100).await;
        assert_eq!(load.end().await, [""; 0], "{balance}");
        let after: Vec<u64> = Probe::each(cluster.addr(), 2).await.iter().map(|probe| probe.pid).collect();
        assert_eq!(after, before, "{balance}");
    })
    .await;
}

#[tokio::test]
async fn what_passes_serves() {
    side_by_side(pairs(&Guest::PROBES, &["round-robin", "shared"]), async |(guest, balance)| {
        let keys = format!("balance = \"{balance}\"");
        let cluster = Cluster::start(&[app(guest, &keys, "health = \"/hello\"\nhealth-successes = 2")]).await;
        let load = Load::light(cluster.addr());
        write(&cluster, &app(guest, &keys, "health = \"/sleep?ms=300\"\nhealth-timeout = \"2s\""));
        cluster.master().signal(Signal::SIGHUP);
        cluster.log.wait_for("reloaded app=probe generation=2").await;
        let fit = cluster.log.timed("passed its health check");
        let served = cluster.log.timed("reloaded app=probe generation=2");
        assert_eq!(fit.len(), 2);
        assert!(fit[1].0 <= served[0].0, "it served before it had passed");
        let begun = cluster.log.timed("checking its health");
        assert!((fit[1].0 - begun[1].0).as_millis() >= 300, "it did not wait for the guest");
        // Workers that accept for themselves hear of it a moment later.
        eventually("the new one's answers", async || {
            get(cluster.addr(), "/self").await.json::<Value>()["generation"] == 2
        })
        .await;
        load.goes_on(100).await;
        assert_eq!(load.end().await, [""; 0], "{balance}");
    })
    .await;
}

#[tokio::test]
async fn the_first_one_has_to_pass_too() {
    let deploy = "health = \"/nope\"\nhealth-within = \"500ms\"";
    let mut cluster = Cluster::spawn(&[app(Guest::ProbeP3, "", deploy)], &[]);
    let error = cluster.failed().await;
    assert!(error.contains("of probe did not pass its health check within 500ms"), "{error}");
    assert!(error.contains("GET /nope: answered 404, not 200"), "{error}");
}

#[tokio::test]
async fn a_worker_that_dies_meanwhile_begins_anew() {
    let app = |deploy: &str| app(Guest::ProbeP3, "", deploy);
    let cluster = Cluster::start(&[app("")]).await;
    // Long enough for it to be killed while it is asked.
    write(&cluster, &app("health = \"/sleep?ms=1000\""));
    cluster.master().signal(Signal::SIGHUP);
    cluster.log.wait_for("checking its health").await;
    let youngest = cluster.processes_of("worker probe/1").into_iter().max_by_key(|process| process.id);
    youngest.expect("it is there").signal(Signal::SIGKILL);
    cluster.log.wait_for("reloaded app=probe generation=2").await;
    assert_eq!(cluster.log.count("SIGKILL"), 1);
    assert_eq!(cluster.log.count("reload of probe failed"), 0);
    let mut probes = Probe::each(cluster.addr(), 2).await;
    assert!(probes[0].processes().await.iter().all(|process| process.generation == 2));
}

#[tokio::test]
async fn a_stop_meanwhile_is_a_stop() {
    let mut cluster = Cluster::spawn(
        &[app(Guest::ProbeP3, "", "health = \"/await-forever\"\nhealth-timeout = \"1m\"")],
        &[],
    );
    cluster.log.wait_for("checking its health").await;
    cluster.master().signal(Signal::SIGTERM);
    let status = cluster.ended(std::time::Duration::from_secs(15)).await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(cluster.stdout.count("ready app="), 0);
}
