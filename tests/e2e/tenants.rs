//! Where the master is root, each app is a user of its own, and can use what it was granted all the same.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{App, Cluster, Guest, Lines, OsProcess, Service, eventually, get, mark, marked, put};

/// What is given by default.
const RANGE: std::ops::RangeInclusive<u32> = 0x7d00_0000..=0x7d00_ffff;

const FOLDER: &str = "folders = [{ source = \"data\", destination = \"/data\", writable = true }]";

fn is_root() -> bool {
    let is = nix::unistd::geteuid().is_root();
    if !is {
        eprintln!("SKIPPED: only root can give apps users of their own");
    }
    is
}

/// With all the processes that an app can have.
fn app(name: &str) -> App {
    let keys = format!("workers = 2\n{FOLDER}\nallowed-outbound-hosts = ['http://localhost']");
    App::new(name).worker(Guest::ProbeP2, &keys).agent(Guest::ProbeP3, FOLDER).file("data/keep", "")
}

/// The user that all processes of an app are, and nothing but that.
fn user(processes: &[OsProcess], app: &str) -> u32 {
    let of_app = |process: &&OsProcess| process.title.split([' ', '/']).any(|word| word == app);
    let of_app: Vec<_> = processes.iter().filter(of_app).collect();
    assert!(!of_app.is_empty(), "{app}: {processes:?}");
    let ids: BTreeSet<_> = of_app.iter().map(|process| process.ids()).collect();
    let (uids, gids) = ids.first().unwrap();
    assert!(ids.len() == 1 && uids.len() == 1 && gids.len() == 1, "{of_app:?} {ids:?}");
    *uids.first().unwrap()
}

async fn write(service: &Service, app: &str, path: &str) {
    let written: Value =
        put(service.addr_of(app).await, &format!("/fs/write?path=/data/{path}"), "text").await.json();
    assert_eq!(written, json!({ "bytes": 4 }), "{app} {path}");
    let read: Value = get(service.addr_of(app).await, &format!("/fs/read?path=/data/{path}")).await.json();
    assert_eq!(read["text"], "text", "{read}");
}

fn owner(file: &Path) -> (u32, u32) {
    let found = fs::metadata(file).unwrap();
    (found.uid(), found.gid())
}

#[tokio::test]
async fn each_app_is_a_user_of_its_own_and_stays_it() {
    if !is_root() {
        return;
    }
    let service = Service::with_own_users();
    let (shop, blog) = (service.write(&app("shop")), service.write(&app("blog")));
    service.start(&[&shop, &blog]).await;
    let users = || {
        let processes = service.processes();
        (user(&processes, "shop"), user(&processes, "blog"))
    };
    let both = users();
    assert!(RANGE.contains(&both.0) && RANGE.contains(&both.1) && both.0 != both.1, "{both:?}");
    assert_eq!(service.processes().len(), 9, "a master, and of each an agent, a broker and two workers");
    assert_eq!(service.master().unwrap().ids().0, BTreeSet::from([0]));
    let status = service.status().await;
    let slots = status["apps"][1]["generations"][0]["slots"].as_array().unwrap();
    let shown: BTreeSet<_> = slots.iter().map(|slot| slot["process"]["sandbox"]["user"].as_u64()).collect();
    assert_eq!(shown, BTreeSet::from([Some(u64::from(both.0))]), "{status}");
    let table = service.ok(&["status", "--sandbox"]).await;
    assert_eq!(table.matches(&both.1.to_string()).count(), 4, "{table}");

    // Files are the folder's owner's, whoever that is.
    let data = |app: &str| service.home().join("apps").join(app).join("data/data");
    write(&service, "shop", "one").await;
    assert_eq!((owner(&data("shop")), owner(&data("shop").join("one"))), ((0, 0), (0, 0)));
    chown(data("blog"), Some(1234), Some(1235)).unwrap();
    service.ok(&["reload", "blog"]).await;
    write(&service, "blog", "one").await;
    assert_eq!(owner(&data("blog").join("one")), (1234, 1235));
    eventually("the end of the older generation", async || service.processes().len() == 9).await;
    assert_eq!(users(), both);

    // Whatever replaces a process.
    let worker = service.processes().into_iter().find(|process| process.title.ends_with("worker shop/0"));
    let worker = worker.unwrap();
    worker.signal(Signal::SIGKILL);
    eventually("its replacement", async || {
        service.processes().len() == 9 && !service.processes().contains(&worker)
    })
    .await;
    assert_eq!(users(), both);
    service.ok(&["restart"]).await;
    assert_eq!(users(), both);
    write(&service, "shop", "two").await;
    service.ok(&["scale", "shop", "3"]).await;
    assert_eq!(users(), both);

    // It has its user as long as anything of it is left.
    service.ok(&["undeploy", "blog"]).await;
    service.ok(&["deploy", &blog]).await;
    assert_eq!(users(), both);
    service.ok(&["undeploy", "blog"]).await;
    service.ok(&["stop"]).await;
    fs::remove_dir_all(service.home().join("apps/blog")).unwrap();
    service.start(&[&service.write(&app("news"))]).await;
    let given = fs::read_to_string(service.home().join("tenants.json")).unwrap();
    let given: Value = serde_json::from_str(&given).unwrap();
    let names: Vec<_> = given["uids"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["news", "shop"]);
    assert_eq!(given["uids"]["shop"], both.0);
}

#[tokio::test]
async fn apps_of_a_run_have_users_too_and_recycled_ones_keep_them() {
    if !is_root() {
        return;
    }
    let keys = "workers = 1\nrecycle = { age = \"1s\" }";
    let cluster = Cluster::start(&[
        App::new("one").worker(Guest::ProbeP3, keys),
        App::new("two").worker(Guest::ProbeP2, "workers = 1"),
    ])
    .await;
    let users = || (user(&cluster.processes(), "one"), user(&cluster.processes(), "two"));
    let both = users();
    assert!(RANGE.contains(&both.0) && RANGE.contains(&both.1) && both.0 != both.1, "{both:?}");
    let first = cluster.process("worker one/0");
    eventually("another worker", async || !first.lives()).await;
    assert_eq!(users(), both);
    assert!(!cluster.home().join("tenants.json").exists());
}

#[tokio::test]
async fn a_tenant_is_who_the_settings_say() {
    if !is_root() {
        return;
    }
    let service = Service::with_own_users();
    let settings =
        "[tenants]\nuids = \"61100-61100\"\n[[tenant]]\napps = [\"shop-*\"]\nuid = 61111\ngid = 61112\n";
    fs::write(service.home().join("settings.toml"), settings).unwrap();
    let apps = ["shop-a", "shop-b", "blog"].map(|name| service.write(&app(name)));
    service.start(&[&apps[0], &apps[1], &apps[2]]).await;
    let processes = service.processes();
    assert_eq!(["shop-a", "shop-b", "blog"].map(|app| user(&processes, app)), [61111, 61111, 61100]);
    let worker = processes.iter().find(|process| process.title.ends_with("worker shop-a/0")).unwrap();
    assert_eq!(worker.ids().1, BTreeSet::from([61112]));
    let error = service.fails(&["deploy", &service.write(&app("news"))]).await;
    assert!(error.contains("all from 61100 to 61100 are taken; set a larger range"), "{error}");
    assert_eq!(get(service.addr_of("blog").await, "/hello").await.text(), "hello\n");
}

/// A master that was started by a script of the shell.
struct Scripted {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    mark: String,
}

impl Scripted {
    fn start(
        service: &Service,
        (program, arguments): (&str, &[&str]),
        script: &str,
        isolation: &str,
    ) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .args(["sh", "-c", script, env!("CARGO_BIN_EXE_hatchery"), "run", "--isolation", isolation])
            .arg("--home")
            .arg(service.home())
            .arg(service.folder().join("probe"))
            .env(mark(), service.mark())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (stdout, stderr) = (Lines::of(stdout), Lines::of(stderr));
        Self { child, stdout, stderr, mark: service.mark().to_owned() }
    }

    fn processes(&self) -> Vec<OsProcess> {
        marked(&self.mark)
    }

    async fn ended(mut self) -> String {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(id, Signal::SIGTERM);
        let said = self.stderr.ended().await;
        self.child.wait().unwrap();
        said
    }
}

#[tokio::test]
async fn a_folder_that_can_not_be_given_is_named() {
    if !is_root() {
        return;
    }
    let service = Service::with_own_cache();
    fs::write(service.home().join("settings.toml"), "[[tenant]]\napps = [\"probe\"]\nuid = 61113\n").unwrap();
    let keys = format!("workers = 1\n{FOLDER}");
    service.write(&App::new("probe").worker(Guest::ProbeP2, &keys).file("data/keep", ""));
    let data = service.folder().join("probe/data");
    // This one has no owners that can be mapped.
    let mounted = |owner: &str| {
        let data = data.display();
        format!("mount -t ramfs none {data} && chown {owner} {data} && exec \"$0\" \"$@\"")
    };
    let unshare: (&str, &[&str]) = ("unshare", &["--mount"]);
    let strict = Scripted::start(&service, unshare, &mounted("7"), "strict");
    let said = strict.stderr.ended().await;
    assert_eq!(strict.stdout.all(), "", "{said}");
    let (folder, uid) = (data.display().to_string(), "the app's user 61113".to_owned());
    let rest = ["chown it to 61113", "uid 7 by [[tenant]]", "\"best-effort\""].map(str::to_owned);
    for words in [folder, uid].into_iter().chain(rest) {
        assert!(said.contains(&words), "{words}: {said}");
    }
    strict.ended().await;
    // As is said: as the master's user, or where it is the tenant's.
    for (owner, isolation, expected) in [("7", "best-effort", 0), ("61113", "strict", 61113)] {
        let master = Scripted::start(&service, unshare, &mounted(owner), isolation);
        eventually("it serves", async || master.stdout.count("ready app=probe") > 0).await;
        assert_eq!(user(&master.processes(), "probe"), expected);
        let said = master.ended().await;
        let warnings = said.matches("runs as the master's user").count();
        assert_eq!(warnings, usize::from(expected == 0), "{said}");
    }
}

/// In a container that has users but may make no user namespaces: the process itself becomes the tenant.
#[tokio::test]
async fn without_user_namespaces_a_process_becomes_its_user() {
    if !is_root() {
        return;
    }
    let service = Service::with_own_cache();
    fs::write(service.home().join("settings.toml"), "[tenants]\nuids = \"61200-61299\"\n").unwrap();
    service.write(&App::probe(Guest::ProbeP2, 2));
    // The first shell has no rights in its namespace, as it has no root yet; who is executed then has.
    let script =
        "read go; exec sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    let mut master = Scripted::start(&service, ("unshare", &["--user"]), script, "best-effort");
    let process = format!("/proc/{}", master.child.id());
    let own = || fs::read_link("/proc/self/ns/user").unwrap();
    eventually("its namespace", async || {
        fs::read_link(format!("{process}/ns/user")).is_ok_and(|theirs| theirs != own())
    })
    .await;
    for map in ["gid_map", "uid_map"] {
        fs::write(format!("{process}/{map}"), "0 0 65534").unwrap();
    }
    master.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    eventually("it serves", async || master.stdout.count("ready app=probe") > 0).await;
    let uid = user(&master.processes(), "probe");
    assert!((61200..=61299).contains(&uid), "{uid}");
    let address = master.stdout.with("ready app=probe").remove(0);
    let address = address.split("addr=").nth(1).unwrap().parse().unwrap();
    assert_eq!(get(address, "/hello").await.text(), "hello\n");
    let said = master.ended().await;
    assert!(said.contains("no user namespace") && !said.contains("no own user"), "{said}");
}
