//! CPUs by app: as many workers as an app may have, they get no more than their app. The kernel shares out,
//! so that what is measured are shares of what these apps got, whatever else the machine does.

use std::{fs, time::Duration};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use super::own::Own;
use crate::support::{App, Cluster, Guest, OsProcess, computing, eventually};

/// How long is measured.
const WINDOW: Duration = Duration::from_secs(4);

/// CPU time that all together must have had by then, so that its parts mean something.
const MEANT: u64 = 40;

/// An app that computes as long as it is asked.
fn busy(name: &str, workers: u32, limits: &str) -> App {
    let more = format!("[limits]\ncpu-limit = \"60s\"\nrequest-timeout = \"120s\"\n{limits}");
    App::new(name).worker(Guest::ProbeP3, &format!("workers = {workers}")).more(&more)
}

/// The CPU time of an app's workers, in ticks.
fn spent(cluster: &Cluster, app: &str) -> u64 {
    cluster.processes_of(&format!("worker {app}/")).iter().map(OsProcess::spent).sum()
}

/// What the apps get of the CPUs in a window, once all their workers compute.
async fn shares(cluster: &Cluster, apps: [(&str, usize); 2]) -> [u64; 2] {
    let _clients = apps.map(|(app, workers)| computing(cluster.addr_of(app), workers));
    for (app, workers) in apps {
        eventually("every worker computes", async || {
            let all = cluster.processes_of(&format!("worker {app}/"));
            all.len() == workers && all.iter().all(|worker| worker.spent() > 20)
        })
        .await;
    }
    let spent = || apps.map(|(app, _)| spent(cluster, app));
    let (before, begun) = (spent(), Instant::now());
    loop {
        sleep(WINDOW).await;
        let (now, apps) = (spent(), [0, 1]);
        let shares = apps.map(|app| now[app] - before[app]);
        if shares.iter().sum::<u64>() > MEANT {
            return shares;
        }
        assert!(begun.elapsed() < 10 * WINDOW, "the machine lets them compute next to nothing: {shares:?}");
    }
}

/// So that there is one CPU for all of them.
fn pin(cluster: &Cluster, apps: [(&str, usize); 2]) {
    let own = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let cpu = (0..CpuSet::count()).find(|cpu| own.is_set(*cpu).unwrap()).unwrap();
    let mut one = CpuSet::new();
    one.set(cpu).unwrap();
    for worker in apps.iter().flat_map(|(app, _)| cluster.processes_of(&format!("worker {app}/"))) {
        for thread in fs::read_dir(format!("/proc/{}/task", worker.id)).unwrap().flatten() {
            let id = thread.file_name().to_str().unwrap().parse().unwrap();
            sched_setaffinity(Pid::from_raw(id), &one).unwrap();
        }
    }
}

#[tokio::test]
async fn apps_share_the_cpus_whatever_their_workers() {
    let Some(own) = Own::make().filter(|own| own.counts("cpu")) else { return };
    // What `lone` has of `cpu-weight`, what `many` has, and what `lone` may get of what `many` gets.
    for (lone, many, ratios) in [(100, 100, 0.67..=1.5), (90, 30, 2.0..=4.5)] {
        let apps = [("lone", 1), ("many", 4)];
        let weigh = |weight: u32| format!("cpu-weight = {weight}");
        let both = [busy("lone", 1, &weigh(lone)), busy("many", 4, &weigh(many))];
        let cluster = Cluster::start_with(&both, &own.arguments()).await;
        pin(&cluster, apps);
        let [one, other] = shares(&cluster, apps).await;
        let ratio = one as f64 / other as f64;
        println!("{lone}:{many} gave {one}:{other} ticks, {ratio:.2}");
        assert!(ratios.contains(&ratio), "{lone}:{many} gave {one}:{other} ticks, {ratio:.2}");
    }
}

#[tokio::test]
async fn an_app_gets_no_more_than_its_cap() {
    let Some(own) = Own::make().filter(|own| own.counts("cpu")) else { return };
    let cluster = Cluster::start_with(&[busy("half", 4, "cpus = 0.5")], &own.arguments()).await;
    let _clients = computing(cluster.addr_of("half"), 4);
    eventually("it computes", async || spent(&cluster, "half") > 100).await;
    let (before, begun) = (spent(&cluster, "half"), Instant::now());
    sleep(WINDOW).await;
    let cpus = (spent(&cluster, "half") - before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    println!("cpus = 0.5 gave {cpus:.2}");
    assert!(cpus < 0.6, "{cpus}");
    assert!(cluster.log.with("can't be held").is_empty());
}
