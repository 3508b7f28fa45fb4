//! SIGHUP: a new generation beside the old one, the switch, and what stays when it can't be.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    App, Broken, Cluster, Connection, Guest, Load, Probe, Version, empty, eventually, get, request,
    side_by_side, try_get,
};

/// The load that no reload may disturb.
const CONNECTIONS: usize = 64;

/// How many reloads in a row.
fn reloads() -> u64 {
    std::env::var("HATCHERY_E2E_RELOADS").map_or(10, |n| n.parse().expect("a number"))
}

/// Writes the app anew.
fn write(cluster: &Cluster, app: &App) {
    app.write(&cluster.folder(&app.name));
}

/// Reloads, and waits until that generation of the only app serves.
async fn reload(cluster: &Cluster, generation: u64) {
    cluster.master().signal(Signal::SIGHUP);
    cluster.log.wait_for(&format!("reloaded app=probe generation={generation} version=1.2.3")).await;
}

/// The environment of the probe's workers.
fn coloured(colour: &str) -> String {
    format!("workers = 2\nenvironment = {{ COLOUR = \"{colour}\" }}")
}

/// Under load, so many reloads lose nothing and leave nothing behind.
async fn lose_nothing(balance: &str, version: Version, reloads: u64) {
    let keys = format!("workers = 2\nbalance = \"{balance}\"");
    let app = App::new("probe").worker(Guest::ProbeP3, &keys).agent(Guest::ProbeP3, "");
    let cluster = Cluster::start(&[app]).await;
    // The first one counts as well: what it opens for good is no leak.
    reload(&cluster, 2).await;
    eventually("the first generation's end", async || cluster.processes().len() == 4).await;
    let (titles, fds) = (cluster.titles(), cluster.master().fds());
    let load = Load::start(cluster.addr(), version, CONNECTIONS);
    load.goes_on(500).await;
    for generation in 3..3 + reloads {
        reload(&cluster, generation).await;
        load.goes_on(100).await;
    }
    // The last former generation ends under load: nothing of it is waited for in vain.
    eventually("the former generations' end", async || cluster.titles() == titles).await;
    let answered = load.answered();
    let failures = load.end().await;
    assert!(failures.is_empty(), "{balance} {version:?}: {} failures: {failures:?}", failures.len());
    eventually("as many fds as before", async || cluster.master().fds() <= fds).await;
    println!("{reloads} reloads, {balance} {version:?}: 0 of {answered} requests lost, fds {fds} as before");
    assert_eq!(cluster.stdout.count("ready app="), 1);
    assert_eq!(cluster.log.count("SIGKILL"), 0);
}

#[tokio::test]
async fn under_load_no_request_is_lost() {
    lose_nothing("round-robin", Version::H1, reloads()).await;
}

#[tokio::test]
async fn under_load_no_request_is_lost_least_connections() {
    lose_nothing("least-connections", Version::H1, reloads().min(10) / 2).await;
}

#[tokio::test]
async fn under_load_no_request_is_lost_shared() {
    lose_nothing("shared", Version::H1, reloads()).await;
}

#[tokio::test]
async fn under_load_no_request_is_lost_http2() {
    lose_nothing("round-robin", Version::H2, reloads()).await;
}

#[tokio::test]
async fn what_is_new_serves() {
    for guest in Guest::PROBES {
        let app = |colour| App::new("probe").worker(guest, &coloured(colour)).agent(guest, "");
        let cluster = Cluster::start(&[app("green")]).await;
        let mut before = Probe::each(cluster.addr(), 2).await;
        assert_eq!(before[0].get::<Value>("/env").await["COLOUR"], "green");
        write(&cluster, &app("blue"));
        reload(&cluster, 2).await;
        let mut after = Probe::each(cluster.addr(), 2).await;
        assert_eq!(after[0].get::<Value>("/env").await["COLOUR"], "blue");
        let processes = after[0].processes().await;
        assert_eq!(processes.len(), 3, "{processes:?}");
        assert!(processes.iter().all(|process| process.generation == 2 && process.state == "ready"));
        assert!(processes.iter().all(|process| process.pid > before[1].pid), "a pid came again");
        assert_eq!(after[0].events("cluster-ready").await.len(), 1);
        // The one before still answers on what it has, as its last word.
        assert_eq!(before[0].get::<Value>("/env").await["COLOUR"], "green");
        drop(before);
        eventually("its end", async || cluster.processes().len() == 4).await;
    }
}

#[tokio::test]
async fn another_component_serves() {
    let cluster = Cluster::start(&[App::probe(Guest::HelloP3, 1)]).await;
    assert_ne!(get(cluster.addr(), "/count").await.text(), "{\"count\":1}");
    write(&cluster, &App::probe(Guest::ProbeP2, 1));
    reload(&cluster, 2).await;
    assert_eq!(get(cluster.addr(), "/count").await.json::<Value>()["count"], 1);
}

#[tokio::test]
async fn a_generation_keeps_to_itself_and_finishes() {
    // What takes their time is a slow request.
    side_by_side(Guest::PROBES, async |guest| {
        let schedule = "[[schedule]]\nname = \"all\"\ninterval = \"50ms\"\ntype = \"all\"";
        let app = App::probe(guest, 2).agent(guest, "").more(schedule);
        let cluster = Cluster::start(&[app]).await;
        let addr = cluster.addr();
        let mut one = Probe::each(addr, 2).await;
        let mut two = Probe::each(addr, 2).await;
        let slow = tokio::spawn(async move { get(addr, "/sleep?ms=3000").await });
        // With one of them: a resident 0.2 instance is busy with it alone.
        eventually("the slow request", async || cluster.log.count("all: succeeded") > 2).await;
        reload(&cluster, 2).await;
        let runs_new = cluster.log.count("all: succeeded");
        // What is sent in the old generation arrives there, though it drains.
        assert_eq!(one[0].send("agent", "late", 3).await.ok, 3);
        assert_eq!(two[0].agent_messages("late").await.len(), 3);
        let mut new = Probe::each(addr, 2).await;
        assert_eq!(new[0].agent_messages("late").await, []);
        assert_eq!(slow.await.unwrap().status, 200);
        // Schedules go on with the new agent, and only there.
        eventually("runs", async || cluster.log.count("all: succeeded") > runs_new + 2).await;
        // One of the old agent's may come just as its workers begin to drain.
        assert!(
            cluster.log.count("no worker was ready") <= 1,
            "{guest:?}: the old agent's schedules went on"
        );
    })
    .await;
}

#[tokio::test]
async fn what_can_not_start_leaves_what_there_is() {
    let guest = Guest::ProbeP3;
    let app = |keys: &str| App::new("probe").worker(guest, keys).agent(guest, "");
    let fine = app("workers = 2");
    let cluster = Cluster::start(std::slice::from_ref(&fine)).await;
    let before: Vec<u64> = Probe::each(cluster.addr(), 2).await.iter().map(|probe| probe.pid).collect();
    let titles = cluster.titles();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let broken: [(App, &str); 7] = [
        (app("workers = 0"), "`workers` is out of range"),
        (app("workers = "), "not TOML"),
        (App::new("probe").worker_wasm(b"\0asm nonsense".to_vec(), ""), "is not a WebAssembly component"),
        (App::new("probe").worker(Guest::CacheAgent, ""), "answers no requests"),
        (app(&format!("listen = \"{port}\"")), "address in use"),
        (app("environment = { START = \"error\" }"), "asked to fail"),
        (
            app("environment = { START = \"hang\" }").more("[limits]\nstart-timeout = \"500ms\""),
            "was not ready within 500ms",
        ),
    ];
    let end = "; version 1.2.3 (generation 1) goes on serving";
    for (count, (app, reason)) in (1..).zip(broken) {
        write(&cluster, &app);
        cluster.master().signal(Signal::SIGHUP);
        cluster.log.wait_for_count(end, count).await;
        let log = cluster.log.all();
        let last = &log[log.rfind("reload of probe failed: ").expect("a reason")..];
        assert!(last[..last.find(end).expect("the end")].contains(reason), "{reason}: {last}");
        assert_eq!(cluster.log.count("reload of probe failed: "), count, "{log}");
        let now: Vec<u64> = Probe::each(cluster.addr(), 2).await.iter().map(|probe| probe.pid).collect();
        assert_eq!(now, before, "{reason}");
        eventually("the failed one's end", async || cluster.titles() == titles).await;
    }
    // Mended, it serves. What failed has used numbers, which never come twice.
    write(&cluster, &fine);
    cluster.master().signal(Signal::SIGHUP);
    cluster.log.wait_for("reloaded app=probe generation=").await;
    assert!(Probe::open(cluster.addr()).await.pid > before[1]);
}

#[tokio::test]
async fn signals_during_a_reload_make_one_more() {
    let app = App::new("probe").worker(Guest::ProbeP3, "environment = { START = \"slow:500\" }");
    let cluster = Cluster::start(&[app]).await;
    cluster.master().signal(Signal::SIGHUP);
    eventually("a new worker", async || cluster.processes_of("worker probe/0").len() == 2).await;
    for _ in 0..5 {
        cluster.master().signal(Signal::SIGHUP);
    }
    cluster.log.wait_for("reloaded app=probe generation=3").await;
    eventually("rest", async || cluster.processes_of("worker probe/0").len() == 1).await;
    assert_eq!(cluster.log.count("reloaded app=probe"), 2);
}

#[tokio::test]
async fn the_address_may_change() {
    for balance in ["round-robin", "shared"] {
        let app = |listen| {
            let keys = format!("workers = 2\nbalance = \"{balance}\"\nlisten = \"{listen}\"");
            App::new("probe").worker(Guest::ProbeP3, &keys).agent(Guest::ProbeP3, "")
        };
        let cluster = Cluster::start(&[app("127.0.0.1:0")]).await;
        let old = cluster.addr();
        let mut kept = Connection::open(old, Version::H1).await;
        assert_eq!(kept.get("/hello").await.status, 200);
        write(&cluster, &app("127.0.0.2:0"));
        reload(&cluster, 2).await;
        let lines = cluster.log.with("reloaded app=probe generation=2");
        let new = lines[0].rsplit_once("addr=").expect("an address").1.parse().unwrap();
        assert_eq!(get(new, "/self").await.json::<Value>()["generation"], 2);
        // What is open is served to its end, which its workers hear of in a moment.
        eventually("the last answer", async || {
            let reply = kept.send(request("GET", "/self", empty())).await;
            assert_eq!(reply.json::<Value>()["generation"], 1);
            reply.header("connection") == "close"
        })
        .await;
        eventually("the old one's end", async || {
            matches!(try_get(old, "/hello").await, Err(Broken::Refused(_))) && cluster.processes().len() == 4
        })
        .await;
    }
}

#[tokio::test]
async fn the_balance_may_change_under_load() {
    let app = |balance| {
        let keys = format!("workers = 2\nbalance = \"{balance}\"");
        App::new("probe").worker(Guest::ProbeP3, &keys)
    };
    let cluster = Cluster::start(&[app("round-robin")]).await;
    let load = Load::start(cluster.addr(), Version::H1, CONNECTIONS / 2);
    for (generation, balance) in (2..).zip(["shared", "least-connections", "shared", "round-robin"]) {
        load.goes_on(200).await;
        write(&cluster, &app(balance));
        reload(&cluster, generation).await;
    }
    load.goes_on(200).await;
    assert_eq!(load.end().await, [""; 0]);
    eventually("rest", async || cluster.processes().len() == 3).await;
}

#[tokio::test]
async fn another_number_of_workers_restarts_nobody() {
    for balance in ["round-robin", "shared"] {
        let app = |workers| {
            let keys = format!("workers = {workers}\nbalance = \"{balance}\"");
            App::new("probe").worker(Guest::ProbeP3, &keys).agent(Guest::ProbeP3, "")
        };
        let cluster = Cluster::start(&[app(2)]).await;
        let load = Load::start(cluster.addr(), Version::H1, 16);
        let pids = async |workers| -> Vec<u64> {
            Probe::each(cluster.addr(), workers).await.iter().map(|probe| probe.pid).collect()
        };
        let two = pids(2).await;
        let agent = Probe::open(cluster.addr()).await.agent_pid().await;
        write(&cluster, &app(4));
        cluster.master().signal(Signal::SIGHUP);
        cluster.log.wait_for("scaled app=probe workers=4").await;
        let four = pids(4).await;
        assert_eq!(four[..2], two);
        write(&cluster, &app(1));
        cluster.master().signal(Signal::SIGHUP);
        cluster.log.wait_for("scaled app=probe workers=1").await;
        eventually("the others' end", async || cluster.processes_of("worker probe").len() == 1).await;
        assert_eq!(pids(1).await, two[..1]);
        let mut probe = Probe::open(cluster.addr()).await;
        assert_eq!(probe.agent_pid().await, agent);
        assert!(probe.processes().await.iter().all(|process| process.generation == 1));
        load.goes_on(50).await;
        assert_eq!(load.end().await, [""; 0], "{balance}");
        assert_eq!(cluster.log.count("reloaded"), 0);
    }
}

#[tokio::test]
async fn other_apps_are_left_alone() {
    let broken = |keys: &str| App::new("b").worker(Guest::ProbeP3, keys);
    let cluster = Cluster::start(&[App::new("a").worker(Guest::ProbeP3, ""), broken("")]).await;
    write(&cluster, &broken("environment = { START = \"trap\" }"));
    cluster.master().signal(Signal::SIGHUP);
    cluster.log.wait_for("reloaded app=a generation=2").await;
    cluster.log.wait_for("reload of b failed: ").await;
    assert_eq!(get(cluster.addr_of("a"), "/self").await.json::<Value>()["generation"], 2);
    assert_eq!(get(cluster.addr_of("b"), "/self").await.json::<Value>()["generation"], 1);
}

#[tokio::test]
async fn a_stop_during_a_reload_stops() {
    let app = |keys: &str| App::new("probe").worker(Guest::ProbeP3, keys).agent(Guest::ProbeP3, "");
    let mut cluster = Cluster::start(&[app("workers = 1")]).await;
    // It drains, for a request that takes long, while the next one starts and never is ready.
    let addr = cluster.addr();
    let slow = tokio::spawn(async move { try_get(addr, "/sleep?ms=2000").await });
    let mut idle = Connection::open(addr, Version::H1).await;
    assert_eq!(idle.get("/hello").await.status, 200);
    reload(&cluster, 2).await;
    write(&cluster, &app("workers = 1\nenvironment = { START = \"hang\" }"));
    cluster.master().signal(Signal::SIGHUP);
    eventually("a third agent", async || cluster.processes_of("worker probe/0").len() == 3).await;
    cluster.master().signal(Signal::SIGTERM);
    assert_eq!(cluster.ended(Duration::from_secs(8)).await.code(), Some(0));
    assert_eq!(slow.await.unwrap().unwrap().status, 200);
    assert_eq!(cluster.processes(), []);
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_a_generation_for_long() {
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\ndrain-timeout = \"2s\"");
    let cluster = Cluster::start(&[app]).await;
    let mut silent = Connection::open(cluster.addr(), Version::H1).await;
    assert_eq!(silent.get("/hello").await.status, 200);
    let _fresh = std::net::TcpStream::connect(cluster.addr()).unwrap();
    reload(&cluster, 2).await;
    eventually("its end", async || cluster.processes_of("worker probe/0").len() == 1).await;
    assert_eq!(cluster.log.count("SIGKILL"), 0);
    assert!(silent.try_send(request("GET", "/hello", empty())).await.is_err_and(|error| error.is_unsent()));
    // The manifest's file need not be there at all: what runs goes on.
    fs::remove_file(cluster.folder("probe").join("hatchery.toml")).unwrap();
    cluster.master().signal(Signal::SIGHUP);
    cluster.log.wait_for("(generation 2) goes on serving").await;
}
