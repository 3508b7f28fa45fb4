//! What a host of other people's code is judged by, under a constant load.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{App, Cluster, Guest, Load, Probe, Version, eventually, eventually_some, get};

const CONNECTIONS: usize = 64;

/// How many times a process is killed. A client of the load gives up after ten failures.
const KILLS: usize = 6;

#[tokio::test]
async fn killed_workers_cost_what_was_with_them_and_no_more() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 2)]).await;
    let addr = cluster.addr();
    let load = Load::start(addr, Version::H1, CONNECTIONS);
    load.goes_on(500).await;
    let mut again = Vec::new();
    for number in 0..KILLS {
        // One that has been there for long enough to be replaced at once.
        let slot = format!("worker probe/{}", number % 2);
        let other = format!("worker probe/{}", 1 - number % 2);
        let (victim, stays) = (cluster.process(&slot), cluster.process(&other));
        let ready = cluster.log.count("master ready");
        let killed = Instant::now();
        victim.signal(Signal::SIGKILL);
        cluster.log.wait_for_count("master ready", ready + 1).await;
        again.push(killed.elapsed());
        assert_eq!(cluster.process(&other), stays, "nobody else may go");
        load.goes_on(300).await;
        let since = killed.elapsed();
        tokio::time::sleep(Duration::from_millis(1200).saturating_sub(since)).await;
    }
    let failures = load.end().await;
    // A client that found its idle connection closed lost nothing.
    let lost = failures.iter().filter(|failure| !failure.starts_with("not a byte was sent")).count();
    again.sort_unstable();
    println!("killed {KILLS} times: {lost} requests lost, ready again after {again:?}");
    // Each client has one request in hand; when one worker is away, the other has them all.
    assert!(lost <= KILLS * CONNECTIONS, "{lost} requests were lost");
    let others = failures.iter().find(|failure| !failure.contains("hyper::Error"));
    assert_eq!(others, None, "a request failed otherwise than by its connection's end");
    assert!(again[again.len() / 2] < Duration::from_secs(1), "{again:?}");
}

#[tokio::test]
async fn killed_agents_cost_nothing() {
    let schedule = "[[schedule]]\nname = \"once\"\ninterval = \"1h\"\ntype = \"one\"\nimmediate = true";
    let app = App::probe(Guest::ProbeP3, 2).agent(Guest::ProbeP3, "").more(schedule);
    let cluster = Cluster::start(&[app]).await;
    let mut workers = Probe::each(cluster.addr(), 2).await;
    let mut ran = 0;
    eventually("the immediate run", async || {
        ran = 0;
        for worker in &mut workers {
            ran += worker.events("task").await.len();
        }
        ran == 1
    })
    .await;
    let load = Load::start(cluster.addr(), Version::H1, CONNECTIONS);
    for round in 0..KILLS {
        let old = workers[0].agent_pid().await;
        cluster.process("agent probe/0").signal(Signal::SIGKILL);
        let action = format!("round-{round}");
        eventually("its end", async || workers[0].processes().await.iter().all(|p| p.pid != old)).await;
        assert_eq!(workers[0].send("agent", &action, 50).await.ok, 50);
        let mut seen = Vec::new();
        eventually("the messages", async || {
            seen = workers[0].agent_messages(&action).await;
            seen.len() >= 50
        })
        .await;
        let data: Vec<_> = seen.into_iter().map(|entry| entry.data.unwrap()).collect();
        assert_eq!(data, (0..50).map(|n: u32| n.to_string()).collect::<Vec<_>>());
        load.goes_on(100).await;
    }
    let failures = load.end().await;
    assert!(failures.is_empty(), "{} failures: {failures:?}", failures.len());
    // Afresh, since idle connections are closed.
    let mut runs = 0;
    for worker in &mut Probe::each(cluster.addr(), 2).await {
        runs += worker.events("task").await.len();
    }
    assert_eq!(runs, 1, "`immediate` ran again");
}

#[tokio::test]
async fn a_guest_that_can_not_go_on_backs_off_and_is_mended_by_a_reload() {
    for how in ["trap", "exit"] {
        // The app is well at first; what makes its starts fail is a file, which comes later.
        let keys = format!(
            "workers = 1\nenvironment = {{ START = \"{how}\", START_IF = \"/data/broken\" }}\n\
             folders = [{{ source = \"data\", destination = \"/data\" }}]"
        );
        let bad = App::new("bad").worker(Guest::ProbeP3, &keys).file("data/there", "");
        let cluster = Cluster::start(&[bad, App::probe(Guest::ProbeP3, 1)]).await;
        let (bad, good) = (cluster.addr_of("bad"), cluster.addr_of("probe"));
        assert_eq!(get(bad, "/hello").await.status, 200);
        let load = Load::start(good, Version::H1, 8);
        let broken = cluster.folder("bad").join("data/broken");
        std::fs::write(&broken, "").unwrap();
        cluster.process("worker bad/0").signal(Signal::SIGKILL);

        // Further and further apart.
        cluster.log.wait_for_count("started app=\"bad\"", 7).await;
        let starts: Vec<Instant> =
            cluster.log.timed("started app=\"bad\"").into_iter().map(|(at, _)| at).collect();
        let (early, late) = (starts[3] - starts[0], starts[6] - starts[3]);
        println!("{how}: three starts within {early:?}, the next three within {late:?}");
        assert!(late > early, "{early:?} {late:?}");
        load.goes_on(100).await;

        std::fs::remove_file(&broken).unwrap();
        cluster.master().signal(Signal::SIGHUP);
        let reply = eventually_some("an answer", async || {
            crate::support::try_get(bad, "/hello").await.ok().filter(|reply| reply.status == 200)
        })
        .await;
        assert_eq!(reply.text(), "hello\n");
        let failures = load.end().await;
        assert!(failures.is_empty(), "{} failures: {failures:?}", failures.len());
    }
}
