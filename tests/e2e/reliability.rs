//! What a host of other people's code is judged by, under a constant load.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{
    App, Clients, Cluster, Guest, Load, Meanwhile, Probe, Version, eventually, eventually_some, get, is_quiet,
};

const CONNECTIONS: usize = 64;

/// How many times a worker is killed, the two in turn.
const WORKER_KILLS: u32 = 20;

/// How many times the agent is.
const AGENT_KILLS: usize = 10;

/// Between two kills: each worker was ready for more than a second then, and is replaced at once.
const BETWEEN: Duration = Duration::from_millis(600);

/// A slot is to be ready again within this.
const AGAIN: Duration = Duration::from_secs(1);

/// What is lost with a worker lies between two counts. What its black box has in hand at its end was
/// not answered, so at least that is lost. And of its clients those that had begun a request and had no
/// answer when the signal was sent are the only ones that can lose one: the others begin none until it
/// is gone, and then see that it is. That count is larger, as a request that is written is not yet read,
/// and an answer that is written neither.
#[tokio::test]
async fn killed_workers_cost_what_was_in_flight_and_no_more() {
    let cluster = Cluster::start(&[App::probe(Guest::ProbeP3, 2)]).await;
    let clients = Clients::start(cluster.addr(), CONNECTIONS);
    let (mut killed, mut again, mut silence) = (Vec::new(), Vec::new(), Duration::ZERO);
    let (mut total_lost, mut total_in_flight, mut total_noted) = (0, 0, 0);
    for number in 0..WORKER_KILLS {
        let slot = number % 2;
        clients.spread(2).await;
        tokio::time::sleep(BETWEEN).await;
        assert!(clients.lost().is_empty(), "before kill {number}");
        let other = format!("worker probe/{}", 1 - slot);
        let (victim, stays) = (cluster.process(&format!("worker probe/{slot}")), cluster.process(&other));
        let ready = cluster.log.count("master ready");
        let hit = clients.hit(slot, &victim, Signal::SIGKILL, Meanwhile::Hold).await;
        cluster.log.wait_for_count("master ready", ready + 1).await;
        let ready = cluster.log.timed("master ready")[ready].0;
        again.push(ready - hit.at);

        // Nobody but it lost anything, and it no more than it had.
        let lost = clients.lost();
        let elsewhere = lost.iter().find(|lost| !lost.went_with(hit.pid) || lost.begun > hit.at);
        assert!(elsewhere.is_none(), "kill {number}: lost {elsewhere:?}, {hit:?}");
        assert!(lost.len() <= hit.in_flight, "kill {number}: lost {}, {hit:?}", lost.len());
        let report = format!("-{}.json", hit.pid);
        let report = eventually_some("its crash report", async || {
            let mut reports = cluster.reports("probe").into_iter();
            reports.find(|(file, _)| file.to_str().unwrap().ends_with(&report))
        });
        let noted = report.await.1["requests"].as_array().unwrap().len();
        assert!(noted <= lost.len(), "kill {number}: {noted} were in hand, and {} lost", lost.len());
        total_lost += lost.len();
        total_in_flight += hit.in_flight;
        total_noted += noted;

        // The other one served all the while.
        assert_eq!(cluster.process(&other), stays, "nobody else may go");
        let mut times = clients.answers_of_others(&hit);
        times.retain(|at| *at < ready);
        assert!(!times.is_empty(), "kill {number}: nobody answered until it was ready again");
        times.push(ready);
        times.into_iter().fold(hit.at, |before, at| {
            silence = silence.max(at - before);
            at
        });
        killed.push(hit.pid);
    }
    let (lost, closed) = clients.end().await;
    assert!(lost.is_empty(), "{lost:?}");
    assert!(closed.iter().all(|pid| killed.contains(pid)), "a live worker closed a connection");
    again.sort_unstable();
    let (first, last) = (again[0], again[again.len() - 1]);
    println!(
        "a worker killed {WORKER_KILLS} times: {total_lost} requests lost ({total_noted} noted in crash \
         reports, {total_in_flight} in flight), ready again after {:.1?} ({first:.1?} to {last:.1?}), the \
         other one silent for {silence:.1?} at most",
        again[again.len() / 2]
    );
    // A network namespace is made the later the more others are being taken down, and those wait for CPUs.
    let one = if is_quiet() { last } else { again[again.len() / 2] };
    assert!(one < AGAIN, "{again:?}");
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
    let mut again = Vec::new();
    for round in 0..AGENT_KILLS {
        let old = workers[0].agent_pid().await;
        let (ready, killed) = (cluster.log.count("master ready"), Instant::now());
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
        again.push(cluster.log.timed("master ready")[ready].0 - killed);
        load.goes_on(100).await;
    }
    let answered = load.answered();
    let failures = load.end().await;
    assert!(failures.is_empty(), "{} failures: {failures:?}", failures.len());
    println!(
        "the agent killed {AGENT_KILLS} times: 0 of {answered} requests lost, {} messages sent meanwhile \
         and delivered, ready again after {again:.1?} (its backoff grows)",
        50 * AGENT_KILLS
    );
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
        let load = Load::light(good);
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
