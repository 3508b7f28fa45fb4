//! Guests that compute as long as they may, in more processes than there are CPUs. One alone is in
//! `e2e::neighbours`.

use std::fs;

use futures::future::join_all;

use super::{Watch, good};
use crate::support::{App, Cluster, Guest, OsProcess, computing, eventually, try_get};

fn bad() -> App {
    App::new("bad").worker(Guest::ProbeP3, "workers = 4")
}

/// Its version: 6.18.2 is (6, 18).
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[tokio::test]
async fn more_loops_than_cpus_harm_nobody_else() {
    let cluster = Cluster::start(&[bad(), good()]).await;
    let watch = Watch::of(&cluster);
    watch
        .through("four loops", async || {
            let addr = cluster.addr_of("bad");
            join_all((0..4).map(|_| try_get(addr, "/spin?ms=300"))).await;
        })
        .await;
    watch.is_unchanged("four loops").await;
}

/// The kernel's word for who goes first.
#[tokio::test]
async fn who_computes_gets_longer_turns_than_who_waits_for_requests() {
    let cluster = Cluster::start(&[bad(), good()]).await;
    let turns = |app: &str| -> Vec<u64> {
        let workers = cluster.processes_of(&format!("worker {app}/"));
        workers.iter().filter_map(OsProcess::turn).collect()
    };
    if kernel() < (6, 12) || turns("bad").len() < 4 {
        eprintln!("SKIPPED: the length of turns can't be set on this kernel, or it does not show it");
        return;
    }
    let (short, long) = (300_000, 3_000_000);
    let are_short = async |app: &str| {
        eventually(&format!("short turns of {app}"), async || turns(app).iter().all(|turn| *turn < short))
            .await;
    };
    // While they begin nobody knows.
    are_short("good").await;
    are_short("bad").await;
    let clients = computing(cluster.addr_of("bad"), 4);
    eventually("four longer turns", async || turns("bad").iter().all(|turn| *turn > long)).await;
    assert!(turns("good").iter().all(|turn| *turn < short), "{:?}", turns("good"));
    drop(clients);
    are_short("bad").await;
}

/// What preempts a request costs it more than the time that it takes itself.
#[tokio::test]
async fn the_clocks_of_a_process_interrupt_nobody() {
    let cluster = Cluster::start(&[good()]).await;
    let process = cluster.process("worker good/0");
    let is_calm = || {
        let policies = process.policies();
        let (main, others) = policies.split_first().unwrap();
        *main == OTHER && others.len() > 1 && others.iter().all(|policy| *policy == BATCH)
    };
    eventually("all its threads but the first are calm", async || is_calm()).await;
    // They have been there from the start, and are what this is about.
    let names = process.threads();
    assert!(["epochs", "pulse"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
}

/// As in sched(7).
const OTHER: u32 = 0;
const BATCH: u32 = 3;
