//! The broker as a process of its app: it shows, and the app's limits hold for it too. Compilers and
//! storekeepers show as well, as long as they run.

use std::{fs, io::Write as _, os::unix::net::UnixStream};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{App, Cluster, Guest, OsProcess, Service, bomb, eventually, eventually_some, get, here};

/// All that a broker is to be shut into: it has the host's network, and nothing else.
const PARTS: [&str; 12] = [
    "user-namespace",
    "mount-namespace",
    "pid-namespace",
    "ipc-namespace",
    "uts-namespace",
    "empty-root",
    "no-new-privileges",
    "landlock",
    "no-capabilities",
    "not-dumpable",
    "seccomp",
    "resource-limits",
];

/// An app that asks a server of the test's, with these limits; started.
async fn started(service: &Service, limits: &str) -> String {
    let addr = here();
    let keys = format!("workers = 1\nallowed-outbound-hosts = [\"http://{addr}\"]");
    let app = App::new("out").worker(Guest::ProbeP3, &keys).more(&format!("[limits]\n{limits}"));
    service.start(&[&service.write(&app)]).await;
    format!("http://{addr}/")
}

async fn fetch(service: &Service, url: &str) {
    let got: Value = get(service.addr_of("out").await, &format!("/fetch?url={url}")).await.json();
    assert_eq!(got["status"], 200, "{got}");
}

/// The broker, once it is ready.
async fn ready(service: &Service) -> Value {
    eventually_some("a ready broker", async || {
        let broker = service.status().await["apps"][0]["generations"][0]["broker"].clone();
        (broker["process"]["state"] == "ready").then_some(broker)
    })
    .await
}

fn process(service: &Service, title: &str) -> OsProcess {
    let found = service.processes().into_iter().find(|process| process.title.starts_with(title));
    found.unwrap_or_else(|| panic!("no {title}"))
}

fn holds_all(sandbox: &Value) {
    let in_force = sandbox["in_force"].as_array().unwrap();
    for part in PARTS {
        assert!(in_force.iter().any(|held| held == part), "{part}: {sandbox}");
    }
    assert_eq!(sandbox["missing"].as_array().unwrap().len(), 0, "{sandbox}");
}

#[tokio::test]
async fn it_shows_what_it_does_and_why_the_last_one_ended() {
    let service = Service::new();
    let url = started(&service, "").await;
    fetch(&service, &url).await;
    fetch(&service, &url).await;
    let broker = ready(&service).await;
    assert_eq!(
        (&broker["asked"], &broker["connected"], &broker["dialing"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!((&broker["restarts"], &broker["last_exit"]), (&0.into(), &Value::Null));
    let first = process(&service, "hatchery: broker");
    let shown = &broker["process"];
    assert_eq!(
        (&shown["role"], &shown["app"], &shown["os_pid"]),
        (&"broker".into(), &"out".into(), &first.id.into())
    );
    assert!(shown["memory_bytes"].as_u64().unwrap() > 1 << 20 && shown["cpu_seconds"].is_f64(), "{shown}");
    holds_all(&shown["sandbox"]);

    first.signal(Signal::SIGKILL);
    eventually("its end", async || !first.lives()).await;
    fetch(&service, &url).await;
    let broker = ready(&service).await;
    assert_eq!(
        (&broker["asked"], &broker["restarts"]),
        (&3.into(), &1.into()),
        "it counts over its processes"
    );
    assert!(broker["last_exit"].as_str().unwrap().contains("SIGKILL"), "{broker}");
    let row = |table: String| table.lines().find(|line| line.contains("broker")).unwrap().to_owned();
    let line = row(service.ok(&["status"]).await);
    for word in [&broker["process"]["os_pid"].to_string(), "ready", "1: signal 9 (SIGKILL)"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    let line = row(service.ok(&["status", "--sandbox"]).await);
    assert!(line.contains("out broker") && line.contains("user,mnt,pid,ipc,uts"), "{line}");
}

#[tokio::test]
async fn compilers_and_storekeepers_show_while_they_run() {
    let service = Service::with_own_cache();
    service.start(&[]).await;
    // An archive that does not begin.
    let mut upload = UnixStream::connect(service.home().join("hatchery.sock")).unwrap();
    upload.write_all(b"POST /v1/bundles HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n").unwrap();
    let app = App::new("bomb")
        .worker_wasm(bomb(2_000, 2_000), "workers = 1")
        .more("[limits]\ncompile-time = \"20s\"");
    let folder = service.write(&app);
    let mut deploy = service.command(&["deploy", &folder]).kill_on_drop(true).spawn().unwrap();
    for (role, of) in [("storekeeper", Value::Null), ("compiler", "bomb".into())] {
        let helper = eventually_some("it in the list", async || {
            let status = service.status().await;
            let helpers = status["helpers"].as_array().unwrap();
            let is = |one: &&Value| one["role"] == role && one["state"] == "ready" && one["app"] == of;
            helpers.iter().find(is).cloned()
        })
        .await;
        holds_all(&helper["sandbox"]);
        let found = process(&service, &format!("hatchery: {role}"));
        assert_eq!(helper["os_pid"], found.id, "{helper}");
        let table = service.ok(&["status", "--sandbox"]).await;
        assert!(table.contains(role), "{table}");
        if role == "storekeeper" {
            drop(std::mem::replace(&mut upload, UnixStream::pair().unwrap().0));
        } else {
            found.signal(Signal::SIGKILL);
        }
    }
    assert!(!deploy.wait().await.unwrap().success());
    eventually("none is left", async || service.status().await["helpers"] == serde_json::json!([])).await;
}

/// The soft and the hard limit, as the kernel says.
fn rlimit(process: &OsProcess, name: &str) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id)).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

fn nice(process: &OsProcess) -> i64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id)).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_apps_limits_are_its_own_too() {
    let service = Service::new();
    let limits = "open-files = 90\ncpu-weight = 50\nmemory = \"32MiB\"\nprocess-memory = \"100MiB\"";
    let url = started(&service, limits).await;
    ready(&service).await;
    let broker = process(&service, "hatchery: broker");
    assert_eq!(rlimit(&broker, "Max open files"), ["90", "90"]);
    let memory = (100u64 << 20).to_string();
    assert_eq!(rlimit(&broker, "Max data size"), [memory.as_str(), memory.as_str()]);
    assert_eq!(nice(&broker) - nice(&service.master().unwrap()), 3);
    fetch(&service, &url).await;
    // What is shown is what is in force, and not what was before it knew its app.
    let status = service.status().await;
    let generation = &status["apps"][0]["generations"][0];
    for process in [&generation["slots"][0]["process"], &generation["broker"]["process"]] {
        assert_eq!(process["sandbox"]["limits"]["files"], 90, "{process}");
    }
    let table = service.ok(&["status", "--sandbox"]).await;
    assert_eq!(table.matches("  90/").count(), 2, "{table}");
}

/// Takes so much, as if something had gone wrong in it. Why it was replaced then.
async fn grown(limits: &str, mib: usize) -> String {
    let keys = "workers = 1\nallowed-outbound-hosts = [\"http://127.0.0.1:1\"]";
    let app = App::new("out").worker(Guest::ProbeP3, keys).more(&format!("[limits]\n{limits}"));
    let cluster = Cluster::start(&[app]).await;
    let worker = cluster.process("worker out/0");
    let first = eventually_some("a broker", async || cluster.processes_of("broker out").pop()).await;
    cluster.log.wait_for("broker started").await;
    cluster.order(&first, &format!("grow {mib}"));
    cluster.log.wait_for("the broker ended, and is replaced").await;
    eventually(
        "the next one",
        async || matches!(cluster.processes_of("broker out").as_slice(), [one] if one.id != first.id),
    )
    .await;
    assert!(worker.lives(), "it goes on");
    cluster.log.with("the broker ended, and is replaced").remove(0)
}

#[tokio::test]
async fn past_a_memory_limit_it_is_replaced() {
    let why = grown("memory = \"32MiB\"\nprocess-memory = \"100MiB\"", 150).await;
    assert!(why.contains("signal 6 (SIGABRT)"), "{why}");
    let why = grown("app-memory = \"200MiB\"", 190).await;
    assert!(why.contains("more than 200.0 MiB (`app-memory`), and this one"), "{why}");
}
