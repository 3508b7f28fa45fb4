//! What is said of the sandbox: in `status`, and where a part of it can't be had.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    process::{Command, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{App, Cluster, Guest, OsProcess, Service, eventually_some, get};

/// All that each process must have here; the tests run on a machine that has it all.
const PARTS: [&str; 14] = [
    "user-namespace",
    "mount-namespace",
    "pid-namespace",
    "net-namespace",
    "ipc-namespace",
    "uts-namespace",
    "cgroup-namespace",
    "empty-root",
    "no-new-privileges",
    "landlock",
    "no-capabilities",
    "not-dumpable",
    "seccomp",
    "resource-limits",
];

#[tokio::test]
async fn status_says_what_holds_in_each_process() {
    let service = Service::new();
    let app = App::new("probe").worker(Guest::ProbeP2, "workers = 2").agent(Guest::ProbeP2, "");
    service.start(&[&service.write(&app)]).await;
    let status: serde_json::Value =
        serde_json::from_str(&service.ok(&["status", "--sandbox", "--json"]).await).unwrap();
    let slots = status["apps"][0]["generations"][0]["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 3);
    for slot in slots {
        let sandbox = &slot["process"]["sandbox"];
        let held: Vec<&str> =
            sandbox["in_force"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        for part in PARTS {
            assert!(held.contains(&part), "{part}: {sandbox}");
        }
        // Only root can be several users.
        assert_eq!(held.contains(&"own-user"), nix::unistd::geteuid().is_root(), "{sandbox}");
        assert_eq!(sandbox["missing"].as_array().unwrap().len(), 0, "{sandbox}");
        assert!(sandbox["landlock_abi"].as_u64().unwrap() >= 1, "{sandbox}");
    }
    let table = service.ok(&["status", "--sandbox"]).await;
    assert_eq!(table.matches("user,mnt,pid,net,ipc,uts,cgroup").count(), 3, "{table}");
}

/// A guest that may send requests has no more of the network than others: its broker has it.
#[tokio::test]
async fn a_guest_that_sends_has_no_network() {
    let service = Service::new();
    let keys = "workers = 1\nallowed-outbound-hosts = [\"http://127.0.0.1:1\"]";
    service.start(&[&service.write(&App::new("probe").worker(Guest::ProbeP2, keys))]).await;
    let table = service.ok(&["status", "--sandbox"]).await;
    assert!(table.contains("user,mnt,pid,net,ipc,uts,cgroup"), "{table}");
}

/// Runs an app where nobody may make more than so many user namespaces, so that the master can't either, until it
/// is ready or has ended. Gives how it ended, what it prints, and what it says.
fn with_user_namespaces(
    service: &Service,
    most: u32,
    isolation: &str,
    workers: u32,
) -> (ExitStatus, String, String) {
    let app = service.write(&App::new("probe").worker(Guest::ProbeP2, &format!("workers = {workers}")));
    let script = format!("echo {most} > /proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"");
    let said = service.folder().join(isolation);
    // It hands signals on.
    let mut master = Command::new("unshare")
        .args(["-U", "-r", "sh", "-c", &script, "timeout", "-s", "INT", "60", env!("CARGO_BIN_EXE_hatchery")])
        .args(["run", "--isolation", isolation, "--home"])
        .arg(service.home())
        .arg(app)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let (mut stdout, mut line) = (BufReader::new(master.stdout.take().unwrap()), String::new());
    stdout.read_line(&mut line).unwrap();
    kill(Pid::from_raw(master.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    (master.wait().unwrap(), line, fs::read_to_string(said).unwrap())
}

#[test]
fn strict_refuses_by_name_and_best_effort_says_so_once() {
    let service = Service::with_own_cache();
    let (status, printed, said) = with_user_namespaces(&service, 0, "strict", 1);
    assert!(!status.success() && printed.is_empty(), "{said}");
    for words in ["isolation = \"strict\"", "no user namespace", "user.max_user_namespaces"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (_, printed, said) = with_user_namespaces(&service, 0, "best-effort", 1);
    assert!(printed.contains("ready app=probe"), "{said}");
    assert_eq!(said.matches("processes are not wholly shut in: no user namespace").count(), 1, "{said}");
}

/// The first ones get what there is; for the last one there is nothing left.
#[test]
fn who_can_not_have_the_walls_of_the_others_does_not_start() {
    let service = Service::with_own_cache();
    let (status, printed, said) = with_user_namespaces(&service, 2, "best-effort", 4);
    assert!(!status.success() && printed.is_empty(), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(!said.contains("no user namespace"), "{said}");
}

/// What a link leads to is not what was granted, and without its root a process does not start.
#[tokio::test]
async fn a_link_in_a_folders_place_ends_the_start() {
    let folders =
        "workers = 1\nfolders = [{ source = \"data/sub\", destination = \"/data\", writable = true }]";
    let app = App::new("probe").worker(Guest::ProbeP3, folders).file("data/sub/own", "mine");
    let cluster = Cluster::start(&[app]).await;
    let list = || get(cluster.addr(), "/fs/list?path=/data");
    let entries: serde_json::Value = list().await.json();
    assert_eq!(entries, serde_json::json!({ "entries": ["own"] }));
    let data = cluster.folder("probe").join("data");
    fs::rename(data.join("sub"), data.join("aside")).unwrap();
    symlink("/etc", data.join("sub")).unwrap();
    cluster.process("worker probe/0").signal(Signal::SIGKILL);
    cluster.log.wait_for("a link has taken ").await;
    fs::remove_file(data.join("sub")).unwrap();
    fs::rename(data.join("aside"), data.join("sub")).unwrap();
    let entries: serde_json::Value = list().await.json();
    assert_eq!(entries, serde_json::json!({ "entries": ["own"] }));
}

/// A worker that has the listener could make whoever else accepts on it wait, and only seccomp keeps it from that.
#[tokio::test]
async fn a_listener_is_not_taken_over_from_workers_without_seccomp() {
    let app =
        |balance| App::new("probe").worker(Guest::ProbeP2, &format!("workers = 1\nbalance = \"{balance}\""));
    let mut cluster = Cluster::prepare(&[app("shared")]);
    cluster.env("HATCHERY_TEST_NO_SANDBOX", "1");
    cluster.launch(&[]);
    cluster.ready().await;
    app("round-robin").write(&cluster.folder("probe"));
    cluster.master().signal(Signal::SIGHUP);
    cluster.log.wait_for("can't be changed to or from \"shared\"").await;
    assert_eq!(get(cluster.addr(), "/hello").await.status, 200);
}

/// The kernel counts what is in flight for all of a user, and holds it against the limit of who sends: the
/// master's is to be the last that is reached.
#[tokio::test]
async fn a_child_may_have_half_of_the_masters_files() {
    let keys = "workers = 1\nallowed-outbound-hosts = [\"http://127.0.0.1:1\"]";
    let app = App::new("probe").worker(Guest::ProbeP2, keys).agent(Guest::ProbeP2, "");
    let cluster = Cluster::start_with_few_files(&[app.more("[limits]\nopen-files = 1000000")], 1024).await;
    let limit = |process: &OsProcess| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.id)).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().take(2).map(|number| number.parse().unwrap()).collect::<Vec<u64>>()
    };
    assert_eq!(limit(&cluster.master()), [1024, 1024]);
    for which in ["worker probe/0", "agent probe", "broker probe"] {
        let limits = eventually_some(which, async || {
            let found = cluster.processes_of(which);
            found.first().map(limit).filter(|limits| limits[0] < 1024)
        })
        .await;
        assert_eq!(limits, [512, 512], "{which}");
    }
}

/// The storekeeper, which is shut in, sees what they lead to.
#[tokio::test]
async fn a_policy_behind_links_counts() {
    let service = Service::new();
    service.file("real.toml", "[any]\nworkers = 1\n");
    symlink(service.folder().join("real.toml"), service.folder().join("link.toml")).unwrap();
    symlink("../link.toml", service.home().join("policy.toml")).unwrap();
    service.start(&[]).await;
    for (workers, allowed) in [(1, true), (2, false)] {
        let keys = format!("workers = {workers}");
        let app = service
            .write(&App::new("probe").version(&format!("0.{workers}.0")).worker(Guest::ProbeP2, &keys));
        let done = service.run(&["deploy", &app]).await;
        assert_eq!(done.code == Some(0), allowed, "{}{}", done.stdout, done.stderr);
        assert_eq!(done.stderr.contains("2 workers (it allows 1)"), !allowed, "{}", done.stderr);
    }
}

/// It is the first process of its pid namespace, to which the kernel sends no signal by default.
#[tokio::test]
async fn a_process_that_is_shut_in_ends_by_signals_all_the_same() {
    for (signal, reason) in [
        (Signal::SIGABRT, "signal 6 (SIGABRT)"),
        (Signal::SIGXCPU, "signal 24 (SIGXCPU)"),
        (Signal::SIGTERM, "signal 15 (SIGTERM)"),
        (Signal::SIGKILL, "signal 9 (SIGKILL)"),
    ] {
        let cluster = Cluster::start(&[App::probe(Guest::ProbeP2, 1)]).await;
        cluster.process("worker probe/0").signal(signal);
        cluster.log.wait_for(&format!("reason=\"{reason}\"")).await;
        cluster.log.wait_for("replacement=true").await;
    }
}
