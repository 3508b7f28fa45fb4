//! A cgroup for each process, where the tests may make one: the kernel kills what takes too much, and
//! the master says so.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::support::{App, Cluster, DEADLINE, Guest, Service, eventually, gone, hatchery, try_get};

/// Where the kernel's groups usually are: version 1, and version 2.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];

/// The limit that a test writes over a process's own, so that it is reached before all others.
const TIGHT: u64 = 48 << 20;

/// A cgroup of one test. Removed with it, with what a killed master left.
struct Own(PathBuf);

impl Own {
    /// `None`, and a line that says so, on a machine where this user can't make one.
    fn make() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("hatchery-e2e-{}-{}", process::id(), NUMBER.fetch_add(1, Relaxed));
        let counts = |root: &&&str| {
            let control = fs::read_to_string(Path::new(root).join("cgroup.subtree_control"));
            Path::new(root).join("memory.limit_in_bytes").exists()
                || control.is_ok_and(|all| all.split_whitespace().any(|one| one == "memory"))
        };
        let made = ROOTS.iter().find(counts).map(|root| Path::new(root).join(&name));
        let made = made.filter(|folder| fs::create_dir(folder).is_ok());
        if made.is_none() {
            eprintln!("SKIPPED: this user can't make a memory cgroup on this machine");
        }
        made.map(Self)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The groups in it, by name.
    fn groups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().flatten();
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let mut names: Vec<_> =
            folders.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The group of one process, and the pids in it.
    fn of(&self, which: &str) -> (PathBuf, Vec<i32>) {
        let found: Vec<_> = self.groups().into_iter().filter(|name| name.contains(which)).collect();
        let [name] = found.as_slice() else { panic!("{} groups are of `{which}`: {found:?}", found.len()) };
        let group = self.0.join(name);
        let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        (group, pids.lines().map(|pid| pid.parse().unwrap()).collect())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for name in self.groups() {
            let _ = fs::remove_dir(self.0.join(name));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// The file with a group's limit.
fn limit(group: &Path) -> PathBuf {
    let files = ["memory.limit_in_bytes", "memory.max"].map(|file| group.join(file));
    files.into_iter().find(|file| file.exists()).expect("it has a limit")
}

/// Below what the process already may have, in both versions.
fn tighten(group: &Path) {
    fs::write(limit(group), TIGHT.to_string()).unwrap();
}

#[tokio::test]
async fn a_process_that_takes_too_much_is_killed_and_replaced() {
    let Some(own) = Own::make() else { return };
    let limits = "[limits]\nmemory = \"128MiB\"\nprocess-memory = \"192MiB\"\ncpu-limit = \"20s\"";
    let app = App::new("bad").worker(Guest::HostileP3, "workers = 2").agent(Guest::ProbeP3, "").more(limits);
    let mut cluster = Cluster::start_with(&[app], &["--cgroup", own.path()]).await;
    assert_eq!(own.groups().len(), 3, "{:?}", own.groups());
    // Pids go up in the order of the start.
    for (group, title) in [("bad-agent-1", "agent bad/0"), ("bad-worker-2", "worker bad/0")] {
        let (group, pids) = own.of(group);
        assert_eq!(pids, [cluster.process(title).id]);
        assert_eq!(fs::read_to_string(limit(&group)).unwrap().trim(), (192 << 20).to_string());
    }
    let (first, second) = (cluster.process("worker bad/0"), cluster.process("worker bad/1"));
    for number in 2..=3 {
        tighten(&own.of(&format!("bad-worker-{number}")).0);
    }
    assert!(try_get(cluster.addr(), "/grow").await.is_err(), "it takes more than it gets");
    cluster.log.wait_for("out of memory: more than 192MiB (`process-memory`)").await;
    let victim = if first.lives() { &second } else { &first };
    assert!(gone(std::slice::from_ref(victim), DEADLINE).await);
    eventually("a replacement in a group of its own", async || {
        cluster.processes_of("worker bad/").len() == 2
            && own.groups().len() == 3
            && own.groups().iter().any(|name| name.ends_with("bad-worker-4"))
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
    assert_eq!(own.groups(), [""; 0]);
}

#[tokio::test]
async fn what_a_killed_master_leaves_goes_at_the_next_start() {
    let Some(own) = Own::make() else { return };
    let mut cluster = Cluster::start_with(&[App::probe(Guest::ProbeP3, 2)], &["--cgroup", own.path()]).await;
    let left = own.groups();
    assert_eq!(left.len(), 2);
    cluster.master().signal(Signal::SIGKILL);
    cluster.ended(DEADLINE).await;
    assert_eq!(own.groups(), left);
    let next = Cluster::start_with(&[App::probe(Guest::ProbeP3, 1)], &["--cgroup", own.path()]).await;
    let groups = own.groups();
    assert!(groups.len() == 1 && !left.contains(&groups[0]), "{left:?}, then {groups:?}");
    assert_eq!(own.of("probe-worker-1").1, [next.process("worker probe/0").id]);
}

#[tokio::test]
async fn a_folder_that_will_not_do_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    App::probe(Guest::ProbeP3, 1).write(folder.path());
    let mut cases = vec![
        ("/nowhere/at/all".to_owned(), "No such file"),
        (folder.path().to_str().unwrap().to_owned(), "no cgroup"),
    ];
    let other = "/sys/fs/cgroup/cpu";
    if Path::new(other).join("cgroup.procs").exists() {
        cases.push((other.to_owned(), "does not count memory"));
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
    let app = service.write(&App::probe(Guest::ProbeP3, 2));
    service.ok(&["start", &app, "--cgroup", own.path()]).await;
    let first = own.groups();
    assert_eq!(first.len(), 2, "{first:?}");
    service.ok(&["reload", "probe"]).await;
    eventually("those of the new ones alone", async || {
        let now = own.groups();
        now.len() == 2 && now.iter().all(|group| !first.contains(group))
    })
    .await;
    service.ok(&["restart", "--cgroup", own.path()]).await;
    assert_eq!(own.groups().len(), 2);
    service.ok(&["stop"]).await;
    assert_eq!(own.groups(), [""; 0]);
    let error = service.fails(&["start", "--cgroup", "/nowhere/at/all"]).await;
    assert!(error.contains("cannot use the cgroup /nowhere/at/all (--cgroup)"), "{error}");
    assert_eq!(service.processes(), []);
}
