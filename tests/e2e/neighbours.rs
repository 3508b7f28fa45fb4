//! An app beside one that takes all it can get, or that can not start: what it feels of that.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use super::hostile::{Attack, attackers, attacks, go_on, run, table, workers};
use crate::support::{App, Cluster, Compared, Guest, eventually, try_get};

/// How many wait for ever at once.
const WAITING: usize = 200;

/// Between the end of an attack and the next.
const BREATH: Duration = Duration::from_millis(20);

/// How long a process has to be ready to count as well.
const STEADY: Duration = Duration::from_millis(1100);

/// The one that is measured.
fn good() -> App {
    App::new("good").worker(Guest::HelloP3, "workers = 1")
}

#[tokio::test]
async fn an_app_does_not_feel_anothers_attack() {
    feels_nothing_of(&Guest::HostileP3.wasm(), attacks(Guest::HostileP3)).await;
}

#[tokio::test]
async fn an_app_does_not_feel_anothers_table() {
    let (wasm, attack) = table();
    feels_nothing_of(&wasm, vec![attack]).await;
}

#[tokio::test]
async fn an_app_does_not_feel_that_another_can_not_start() {
    for how in ["trap", "exit"] {
        // It is well at first, and whenever the file is not there.
        let keys = format!(
            "workers = 1\nenvironment = {{ START = \"{how}\", START_IF = \"/data/broken\" }}\n\
             folders = [{{ source = \"data\", destination = \"/data\" }}]"
        );
        let bad = App::new("bad").worker(Guest::ProbeP3, &keys).file("data/there", "");
        let cluster = Cluster::start(&[bad, good()]).await;
        let broken = cluster.folder("bad").join("data/broken");
        let (addr, mut compared) = (cluster.addr_of("bad"), Compared::default());
        while compared.goes_on(how) {
            let begin = async || {
                std::fs::write(&broken, "").unwrap();
                cluster.process("worker bad/0").signal(Signal::SIGKILL);
            };
            let end = async |()| {
                std::fs::remove_file(&broken).unwrap();
                eventually("an answer", async || try_get(addr, "/hello").await.is_ok()).await;
                // Its past is forgotten then: the next failures begin without a pause again.
                tokio::time::sleep(STEADY).await;
            };
            compared.windows(&cluster, begin, end).await;
        }
        println!("beside an app whose start ends in {how}, {} times: {compared}", starts(&cluster));
    }
}

/// How many processes of the bad app have been started.
fn starts(cluster: &Cluster) -> usize {
    cluster.log.count("started app=\"bad\"")
}

/// Every attack in turn, by the same processes.
async fn feels_nothing_of(wasm: &[u8], attacks: Vec<Attack>) {
    let [bad, waits] = attackers(wasm, "");
    let cluster = Cluster::start(&[bad, waits, good()]).await;
    let workers = workers(&cluster);
    for attack in attacks {
        let bad = cluster.addr_of(attack.app);
        let (attack, mut compared, mut times) = (Arc::new(attack), Compared::default(), 0);
        while compared.goes_on(attack.path) {
            let begin = async || {
                let stop = Arc::new(AtomicBool::new(false));
                (stop.clone(), tokio::spawn(attack_on(bad, attack.clone(), stop)))
            };
            let end = async |(stop, attacker): (Arc<AtomicBool>, tokio::task::JoinHandle<usize>)| {
                stop.store(true, SeqCst);
                times += attacker.await.unwrap();
            };
            compared.windows(&cluster, begin, end).await;
        }
        println!("beside {}, {times} times: {compared}", attack.path);
        go_on(&cluster, &workers, attack.path);
    }
    println!("the attacker's peak is {} MiB", workers[0].peak_memory() >> 10);
}

/// Over and over until it is told to stop. How many requests that were.
async fn attack_on(addr: SocketAddr, attack: Arc<Attack>, stop: Arc<AtomicBool>) -> usize {
    let mut times = 0;
    while !stop.load(SeqCst) {
        let mut at_once = JoinSet::new();
        // Of those that trap, one ends the others too.
        for _ in 0..if attack.path == "/await" { WAITING } else { 1 } {
            let attack = attack.clone();
            at_once.spawn(async move { run(addr, &attack).await });
        }
        times += at_once.join_all().await.len();
        tokio::time::sleep(BREATH).await;
    }
    times
}
