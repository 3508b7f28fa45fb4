//! A cgroup for each app and each process, where the tests may make one: the kernel kills what takes too
//! much, shares the CPUs out by app, and the master says so.

mod own;
mod shares;

use std::{fs, path::Path, time::Duration};

use nix::sys::signal::Signal;

use self::own::Own;
use crate::support::{App, Cluster, DEADLINE, Guest, Service, bomb, eventually, gone, hatchery, try_get};

/// The limit that a test writes over a process's own, so that it is reached before all others.
const TIGHT: u64 = 48 << 20;

#[tokio::test]
async fn a_process_that_takes_too_much_is_killed_and_replaced() {
    let Some(own) = Own::make() else { return };
    let limits = "[limits]\nmemory = \"128MiB\"\nprocess-memory = \"192MiB\"\ncpu-limit = \"20s\"";
    let app = App::new("bad").worker(Guest::HostileP3, "workers = 2").agent(Guest::ProbeP3, "").more(limits);
    let mut cluster = Cluster::start_with(&[app], &own.arguments()).await;
    assert_eq!(own.groups().len(), 3, "{:?}", own.groups());
    // Pids go up in the order of the start.
    for (group, title) in [("bad/agent-1", "agent bad/0"), ("bad/worker-2", "worker bad/0")] {
        let (group, pids) = own.of(group);
        assert_eq!(pids, [cluster.process(title).id]);
        assert_eq!(fs::read_to_string(own::memory_limit(&group)).unwrap().trim(), (192 << 20).to_string());
    }
    let (first, second) = (cluster.process("worker bad/0"), cluster.process("worker bad/1"));
    for number in 2..=3 {
        fs::write(own::memory_limit(&own.of(&format!("bad/worker-{number}")).0), TIGHT.to_string()).unwrap();
    }
    assert!(try_get(cluster.addr(), "/grow").await.is_err(), "it takes more than it gets");
    cluster.log.wait_for("out of memory: more than 192MiB (`process-memory`)").await;
    let victim = if first.lives() { &second } else { &first };
    assert!(gone(std::slice::from_ref(victim), DEADLINE).await);
    eventually("a replacement in a group of its own", async || {
        cluster.processes_of("worker bad/").len() == 2
            && own.groups().len() == 3
            && own.groups().iter().any(|name| name.ends_with("bad/worker-4"))
    })
    .await;
    eventually("an answer", async || {
        try_get(cluster.addr(), "/hello").await.is_ok_and(|reply| reply.status == 200)
    })
    .await;
    eventually("its crash report", async || {
        let crashes = fs::read_dir(cluster.home().join("apps/bad/crashes")).unwrap().flatten();
        let mut reports = crashes.filter_map(|file| fs::read_to_string(file.path()).ok());
        reports.any(|report| report.contains("out of memory: more than 192MiB"))
    })
    .await;
    cluster.master().signal(Signal::SIGTERM);
    assert!(cluster.ended(Duration::from_secs(20)).await.success());
    assert!(own.is_empty());
}

#[tokio::test]
async fn an_app_that_takes_too_much_loses_a_process() {
    let Some(own) = Own::make() else { return };
    let limits = "[limits]\nmemory = \"128MiB\"\napp-memory = \"2GiB\"\ncpu-limit = \"20s\"";
    let app = App::new("bad").worker(Guest::HostileP3, "workers = 2").more(limits);
    let cluster = Cluster::start_with(&[app], &own.arguments()).await;
    let whole = own::memory_limit(own.of("bad/worker-1").0.parent().unwrap());
    assert_eq!(fs::read_to_string(&whole).unwrap().trim(), (2_u64 << 30).to_string());
    fs::write(&whole, (2 * TIGHT).to_string()).unwrap();
    assert!(try_get(cluster.addr(), "/grow").await.is_err(), "it takes more than they get");
    cluster.log.wait_for("out of memory: more than 2GiB (`app-memory`)").await;
    eventually("an answer", async || {
        try_get(cluster.addr(), "/hello").await.is_ok_and(|reply| reply.status == 200)
    })
    .await;
}

#[tokio::test]
async fn all_that_works_for_an_app_counts_to_it() {
    let Some(own) = Own::make().filter(|own| own.counts("pids")) else { return };
    let keys = "workers = 3\nallowed-outbound-hosts = [\"http://127.0.0.1:9\"]";
    let app = App::new("probe").worker(Guest::ProbeP3, keys).agent(Guest::ProbeP3, "");
    let mut cluster = Cluster::start_with(&[app], &own.arguments()).await;
    let (most, pids) = own.app("probe", "pids");
    // 512 for each of two generations: three workers, an agent, and three others.
    assert_eq!(fs::read_to_string(most.join("pids.max")).unwrap().trim(), (512 * 2 * 7).to_string());
    for title in ["broker probe", "agent probe/0", "worker probe/0", "worker probe/1", "worker probe/2"] {
        let id = cluster.process(title).id;
        assert!(pids.contains(&id), "{title}, {id}, is not in {pids:?}");
    }
    cluster.master().signal(Signal::SIGTERM);
    assert!(cluster.ended(Duration::from_secs(20)).await.success());
    assert!(own.is_empty());
    let app =
        App::new("slow").worker_wasm(bomb(1_000, 500), "workers = 1").more("[limits]\ncompile-time = \"2s\"");
    let mut cluster = Cluster::spawn(&[app], &own.arguments());
    eventually("a compiler in its app's group", async || {
        let compiler = cluster.processes_of("compiler slow").first().map(|process| process.id);
        compiler.is_some_and(|id| own.try_app("slow", "pids").is_some_and(|(_, pids)| pids.contains(&id)))
    })
    .await;
    cluster.failed().await;
    assert!(own.is_empty());
}

#[tokio::test]
async fn a_cap_that_can_not_be_held_is_said() {
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\ncpus = 0.5");
    let cluster = Cluster::start(std::slice::from_ref(&app)).await;
    cluster.log.wait_for("`cpus` can't be held: the master has no cgroup with the cpu controller").await;
    assert_eq!(cluster.log.count("can't be held"), 1);
    let folder = tempfile::tempdir().unwrap();
    app.write(folder.path());
    let done = hatchery(folder.path(), &["run", ".", "--isolation", "strict"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    // The second on a machine that has not all of the sandbox either.
    let expected = ["cannot start probe: `cpus` can't be held", "cannot shut processes in"];
    assert!(expected.iter().any(|text| done.stderr.contains(text)), "{}", done.stderr);
}

#[tokio::test]
async fn what_a_killed_master_leaves_goes_at_the_next_start() {
    let Some(own) = Own::make() else { return };
    let mut cluster = Cluster::start_with(&[App::probe(Guest::ProbeP3, 2)], &own.arguments()).await;
    let left = own.groups();
    assert_eq!(left.len(), 2);
    cluster.master().signal(Signal::SIGKILL);
    cluster.ended(DEADLINE).await;
    assert_eq!(own.groups(), left);
    let next = Cluster::start_with(&[App::probe(Guest::ProbeP3, 1)], &own.arguments()).await;
    let groups = own.groups();
    assert!(groups.len() == 1 && !left.contains(&groups[0]), "{left:?}, then {groups:?}");
    assert_eq!(own.of("probe/worker-1").1, [next.process("worker probe/0").id]);
}

#[tokio::test]
async fn a_folder_that_will_not_do_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    App::probe(Guest::ProbeP3, 1).write(folder.path());
    let mut cases = vec![
        ("/nowhere/at/all".to_owned(), "No such file"),
        (folder.path().to_str().unwrap().to_owned(), "no cgroup"),
    ];
    let other = "/sys/fs/cgroup/freezer";
    if Path::new(other).join("cgroup.procs").exists() {
        cases.push((other.to_owned(), "counts neither memory, cpu nor pids"));
    }
    for (cgroup, expected) in cases {
        let done = hatchery(folder.path(), &["run", ".", "--cgroup", &cgroup]);
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
        let errors: Vec<_> = done.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        let [error] = errors.as_slice() else { panic!("not one error: {}", done.stderr) };
        assert!(error.contains(&cgroup) && error.contains("--cgroup") && error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn instances_of_requests_share_one_bound() {
    // Each may take 64 MiB, all together 96: some find out, and the process goes on.
    let limits = "[limits]\nmemory = \"64MiB\"\nprocess-memory = \"96MiB\"\ncpu-limit = \"20s\"";
    let keys = "workers = 1\ninstance = \"per-request\"\nconcurrency = 64";
    let cluster = Cluster::start(&[App::new("bad").worker(Guest::HostileP3, keys).more(limits)]).await;
    let worker = cluster.process("worker bad/0");
    let addr = cluster.addr();
    let grow = async || {
        let reply = try_get(addr, "/grow").await.ok().filter(|reply| reply.status == 200)?;
        reply.json::<serde_json::Value>()["bytes"].as_u64()
    };
    let alone = grow().await.unwrap();
    let together = futures::future::join_all((0..8).map(|_| grow())).await;
    println!("alone {alone}, then {together:?}; the worker's peak is {} MiB", worker.peak_memory() >> 10);
    assert!(worker.peak_memory() < (96 + 64) << 10, "{} KiB", worker.peak_memory());
    assert!(worker.lives());
    // Its pool has no more room, though nobody is in it: the next process takes over.
    cluster.log.wait_for("has no more room for instances (`process-memory`)").await;
    eventually("as much as at first", async || grow().await == Some(alone)).await;
}

#[tokio::test]
async fn a_service_has_groups_too() {
    let Some(own) = Own::make() else { return };
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP3, 2).more("[limits]\ncpus = 1.5"));
    service.ok(&[&["start", &app], own.arguments().as_slice()].concat()).await;
    let first = own.groups();
    assert_eq!(first.len(), 2, "{first:?}");
    // What holds is shown, and for whom.
    let table = service.ok(&["status", "probe", "--limits"]).await;
    let row = |key: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
        line.split_whitespace().skip(1).take(2).map(str::to_owned).collect()
    };
    let expected = if own.counts("cpu") {
        [["app", "100"], ["app", "1.5"]]
    } else {
        [["process", "100"], ["app", "any"]]
    };
    assert_eq!([row("cpu-weight"), row("cpus")], expected);
    service.ok(&["reload", "probe"]).await;
    eventually("those of the new ones alone", async || {
        let now = own.groups();
        now.len() == 2 && now.iter().all(|group| !first.contains(group))
    })
    .await;
    service.ok(&[&["restart"], own.arguments().as_slice()].concat()).await;
    assert_eq!(own.groups().len(), 2);
    service.ok(&["stop"]).await;
    assert!(own.is_empty());
    let error = service.fails(&["start", "--cgroup", "/nowhere/at/all"]).await;
    assert!(error.contains("cannot use the cgroup /nowhere/at/all (--cgroup)"), "{error}");
    assert_eq!(service.processes(), []);
}
