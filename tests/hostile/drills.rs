//! Escape drills: each role tries to get out of its process by real system calls (`sys::sandbox::drill`),
//! when it is shut in and before it does anything else. Nothing may work, as root and as an ordinary user.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder},
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{DirBuilderExt as _, MetadataExt as _},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::{App, Guest, Lines, Service, in_time};

/// Those that must have tried everything.
const ROLES: [&str; 5] = ["agent", "worker", "compiler", "storekeeper", "broker"];

/// What the broker is there for. Which addresses it takes is `broker::rules`' affair.
const BROKERS: &str = "connect to 127.0.0.1";

/// Somebody without rights.
const NOBODY: u32 = 65534;

/// Until everything has been tried and the app serves.
const PATIENCE: Duration = Duration::from_secs(120);

/// What no part but seccomp keeps from a process of an ordinary user: it tries, and only harms itself.
const HARMLESS: [&str; 19] = [
    "fork",
    "exec a memfd",
    "kill all",
    "setuid(0)",
    "keyctl",
    "add_key",
    "become dumpable",
    "personality",
    "take shorter turns",
    "socket AF_NETLINK",
    "socket AF_ALG",
    "socket AF_VSOCK",
    "unshare a user namespace",
    "clone into a user namespace",
    "io_uring_setup",
    "userfaultfd",
    "perf_event_open",
    "chroot",
    "open a handle to the master",
];

/// What no other part keeps from any process.
const SECCOMPS: [&str; 7] = [
    "memory that is not counted, shared",
    "memory that is not counted, a stack",
    "memory that is not counted, moved",
    "make a setuid file",
    "make a setuid file by openat2",
    "make a file setuid",
    "make a file setuid by its name",
];

/// By role, what came of each attempt.
type Outcomes = BTreeMap<String, Vec<(String, String)>>;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Files of an app that run as their owner.
fn setuid_files(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.metadata().unwrap().mode() & 0o6000 != 0).collect()
}

async fn drill(user: Option<u32>, filter: &str) -> Outcomes {
    let service = Service::with_own_cache();
    let folders = "folders = [{ source = \"data\", destination = \"/data\", writable = true }]";
    let app = App::new("probe")
        .worker(
            Guest::ProbeP2,
            &format!("workers = 1\n{folders}\nallowed-outbound-hosts = ['http://localhost']"),
        )
        .agent(Guest::ProbeP2, folders)
        .file("data/own", b"mine");
    let app = service.write(&app);
    let secret = service.file("secret", "of another app");
    // It is there when the first child is.
    fs::write(service.home().join("cache.key"), [7; 32]).unwrap();
    // Of a master of its own, so that nothing but the machine is shared.
    let tenant = Service::with_own_users();
    let other = App::new("other").worker(Guest::ProbeP2, "workers = 1").file("data/own", b"mine");
    tenant.start(&[&tenant.write(&other)]).await;
    let process = tenant.processes().into_iter().find(|process| process.title == "hatchery: worker other/0");
    let (process, folder, log) =
        (process.unwrap().id, tenant.home().join("apps/other"), tenant.home().join("logs"));
    DirBuilder::new().recursive(true).mode(0o700).create(service.home().join("secrets/other")).unwrap();
    let home = service.home().canonicalize().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("drill-{}", service.folder().display());
    let name = name.replace('/', "-");
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut command = match user {
        Some(user) => {
            let owned = Command::new("chown").args(["-R", &user.to_string()]).arg(service.folder()).status();
            assert!(owned.unwrap().success());
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
            command.arg(env!("CARGO_BIN_EXE_hatchery"));
            command
        }
        None => Command::new(env!("CARGO_BIN_EXE_hatchery")),
    };
    let (folder, log) = (folder.display(), log.join("hatchery.log"));
    let (port, home, log) = (port.local_addr().unwrap().port(), home.display(), log.display());
    let asked = format!("{filter} {port} {name} {secret} {home} {process} {folder} {log}");
    let mut master = command
        .args(["start", "--foreground", "--home"])
        .arg(service.home())
        .arg(app)
        .current_dir("/")
        .env("HATCHERY_TEST_DRILL", asked)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = Lines::of(master.stdout.take().unwrap());
    let stderr = Lines::of(master.stderr.take().unwrap());
    let served = in_time(PATIENCE, async || stdout.count("ready app=") > 0).await;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(master.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let all = stderr.ended().await;
    assert!(master.wait().unwrap().success() && served, "{all}");
    let data = service.home().join("apps/probe/data/data");
    assert!(data.join("drill-setuid-3").exists(), "{all}");
    assert_eq!(setuid_files(&data).is_empty(), filter == "on", "{:?}", setuid_files(&data));
    let mut outcomes = Outcomes::new();
    for line in all.lines() {
        // Past the host's own lines, so it comes as it is.
        let written = line.split_once("raw | drill ");
        let Some((role, rest)) = written.and_then(|(_, drill)| drill.split_once(" | ")) else { continue };
        let (attempt, outcome) = rest.split_once(" | ").unwrap();
        let tried = outcomes.entry(role.to_owned()).or_default();
        // Of several processes of one role, the first that it worked for.
        match tried.iter_mut().find(|(known, _)| known == attempt) {
            Some((_, known)) if outcome == "ALLOWED" => outcome.clone_into(known),
            Some(_) => {}
            None => tried.push((attempt.to_owned(), outcome.to_owned())),
        }
    }
    for role in ROLES {
        assert!(outcomes.contains_key(role), "no {role} has tried: {all}");
    }
    outcomes
}

/// A line for each attempt, a column for each role.
fn print(title: &str, outcomes: &Outcomes) {
    println!("\n{title:<40}{}", ROLES.map(|role| format!("{role:<26}")).concat());
    for (attempt, _) in &outcomes["worker"] {
        let of = |role: &str| {
            let found = outcomes[role].iter().find(|(known, _)| known == attempt);
            format!("{:<26}", found.map_or("not tried", |(_, outcome)| outcome))
        };
        println!("{attempt:<40}{}", ROLES.map(of).concat().trim_end());
    }
}

fn is_its_task(role: &str, attempt: &str) -> bool {
    role == "broker" && attempt == BROKERS
}

async fn nothing_works(user: Option<u32>) {
    let outcomes = drill(user, "on").await;
    print(if user.is_some() { "an ordinary user" } else { "as the tests run" }, &outcomes);
    let attempts: BTreeSet<&String> = outcomes["worker"].iter().map(|(attempt, _)| attempt).collect();
    assert!(attempts.len() >= 60, "{attempts:?}");
    for role in ROLES {
        let tried: BTreeSet<&String> = outcomes[role].iter().map(|(attempt, _)| attempt).collect();
        assert_eq!(tried, attempts, "{role}");
        let worked = outcomes[role].iter().filter(|(_, outcome)| outcome == "ALLOWED");
        let worked: Vec<_> = worked.filter(|(attempt, _)| !is_its_task(role, attempt)).collect();
        assert!(worked.is_empty(), "{role}: {worked:?}");
    }
    for killed in ["ptrace the master", "exec /bin/sh", "bpf", "mount", "io_uring_setup", "keyctl"] {
        let outcome = outcomes["worker"].iter().find(|(attempt, _)| attempt == killed);
        assert_eq!(outcome.map(|(_, outcome)| outcome.as_str()), Some("killed, signal 31"), "{killed}");
    }
}

/// The namespaces, Landlock and the lost capabilities keep what matters also by themselves.
async fn the_rest_keeps_without_seccomp(user: Option<u32>) {
    let outcomes = drill(user, "off").await;
    print("without seccomp", &outcomes);
    for role in ROLES {
        let beyond = outcomes[role]
            .iter()
            .filter(|(attempt, outcome)| outcome == "ALLOWED" && !HARMLESS.contains(&attempt.as_str()))
            .filter(|(attempt, _)| !SECCOMPS.contains(&attempt.as_str()))
            .filter(|(attempt, _)| !is_its_task(role, attempt));
        assert_eq!(beyond.collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "{role}");
    }
}

#[tokio::test]
async fn nothing_works_as_who_runs_the_tests() {
    nothing_works(None).await;
}

#[tokio::test]
async fn nothing_works_as_an_ordinary_user() {
    nothing_works(is_root().then_some(NOBODY)).await;
}

#[tokio::test]
async fn the_other_parts_keep_by_themselves() {
    the_rest_keeps_without_seccomp(is_root().then_some(NOBODY)).await;
}

/// As root, that is with users of their own.
#[tokio::test]
async fn the_other_parts_keep_by_themselves_as_who_runs_the_tests() {
    the_rest_keeps_without_seccomp(None).await;
}

/// It is of the host's network, and another generation's may be the master's too. It is the worker's to make a
/// mess of; but not to reach anybody with, nor to hold the master up.
#[tokio::test]
async fn a_shared_listener_is_good_for_nothing_else() {
    let service = Service::with_own_users();
    let app = App::new("probe").worker(Guest::ProbeP2, "workers = 1\nbalance = \"shared\"");
    let app = service.write(&app);
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = format!("on {} none none none none none none", target.local_addr().unwrap().port());
    let mut master = service.command(&["start", "--foreground", &app]);
    let mut master = master
        .env("HATCHERY_TEST_DRILL", asked)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pipe = master.stderr.take().unwrap().into_owned_fd().unwrap();
    let stderr = Lines::of(fs::File::from(pipe));
    stderr.wait_for("drill worker | connect by a listener | ").await;
    for attempt in ["make a listener blocking", "make a listener blocking by ioctl", "connect by a listener"]
    {
        let tried = stderr.with(&format!("drill worker | {attempt} | "));
        assert!(tried[0].ends_with("| denied, EPERM"), "{tried:?}");
    }
    master.kill().await.unwrap();
}
