//! Secrets: the guest has them, and nobody else can find them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::support::{App, Guest, OsProcess, Service, eventually, get};

const OF_FILE: &str = "hunter2-from-a-file";
const CHANGED: &str = "hunter3-changed";
const OF_ENVIRONMENT: &str = "hunter4-from-the-environment";
const OF_AGENT: &str = "hunter5-for-the-agent";

/// Runs a verb with this on its standard input.
async fn tell(mut command: Command, input: &str) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    assert!(child.wait().await.unwrap().success());
}

fn app() -> App {
    App::new("probe")
        .worker(
            Guest::ProbeP3,
            "workers = 1\nsecrets = [\"API_KEY\", \"OF_MASTER\"]\nenvironment = { ONE = \"1\" }",
        )
        .agent(Guest::ProbeP3, "secrets = [\"AGENT_KEY\"]")
}

/// All files below, but those in `secrets`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && entry.file_name() != "secrets" {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Where the value is found, of all that is written and shown.
fn leaks(service: &Service, shown: &str, value: &str) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(value.len()).any(|part| part == value.as_bytes());
    let mut found = vec![];
    for file in files(&service.home()) {
        if has(&fs::read(&file).unwrap_or_default()) {
            found.push(file.display().to_string());
        }
    }
    for OsProcess { id, title } in service.processes() {
        for list in ["environ", "cmdline"] {
            if has(&fs::read(format!("/proc/{id}/{list}")).unwrap_or_default()) {
                found.push(format!("{list} of {title}"));
            }
        }
    }
    if has(shown.as_bytes()) {
        found.push("what was printed".to_owned());
    }
    found
}

#[tokio::test]
async fn the_guest_has_them_and_nobody_else() {
    let service = Service::new();
    let settings = "[secrets]\nfrom-environment = [\"OF_MASTER\"]\n";
    fs::write(service.home().join("settings.toml"), settings).unwrap();
    let mut start = service.command(&["start"]);
    assert!(start.env("OF_MASTER", OF_ENVIRONMENT).status().await.unwrap().success());
    let folder = service.write(&app());

    // Without a value: named, and where it would be.
    let error = service.fails(&["deploy", &folder]).await;
    for part in [
        "the agent of probe needs the secret AGENT_KEY (`agent.secrets`)",
        "secrets/probe/AGENT_KEY",
        "`hatchery secret set probe AGENT_KEY`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    tell(service.command(&["secret", "set", "probe", "AGENT_KEY"]), OF_AGENT).await;
    tell(service.command(&["secret", "set", "probe", "API_KEY"]), &format!("{OF_FILE}\n")).await;
    assert_eq!(service.ok(&["secret", "list", "probe"]).await, "AGENT_KEY\nAPI_KEY\n");
    let mut shown = service.ok(&["deploy", &folder]).await;
    let addr = service.addr_of("probe").await;
    let environment = async |key: &str| {
        let seen: Value = get(service.addr_of("probe").await, "/env").await.json();
        seen[key].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(environment("API_KEY").await, OF_FILE);
    assert_eq!(environment("OF_MASTER").await, OF_ENVIRONMENT);
    assert_eq!(environment("ONE").await, "1");
    assert_eq!(environment("AGENT_KEY").await, "", "each role has its own");

    // Reports of a trap and of a death; the next instance and the next process have them too.
    assert_eq!(get(addr, "/trap").await.status, 500);
    assert_eq!(environment("API_KEY").await, OF_FILE);
    let worker = service.processes().into_iter().find(|process| process.title.contains("worker")).unwrap();
    worker.signal(Signal::SIGKILL);
    eventually("another worker", async || {
        service.processes().iter().any(|process| process.title.contains("worker") && process.id != worker.id)
    })
    .await;
    assert_eq!(environment("API_KEY").await, OF_FILE);
    eventually("two crash reports", async || {
        let reports = fs::read_dir(service.home().join("apps/probe/crashes"));
        reports.is_ok_and(|reports| reports.count() >= 2)
    })
    .await;

    // A reload takes another value.
    tell(service.command(&["secret", "set", "probe", "API_KEY"]), CHANGED).await;
    assert_eq!(environment("API_KEY").await, OF_FILE);
    shown += &service.ok(&["reload", "probe"]).await;
    assert_eq!(environment("API_KEY").await, CHANGED);

    // One that is gone: the old processes go on.
    service.ok(&["secret", "remove", "probe", "API_KEY"]).await;
    let error = service.fails(&["reload", "probe"]).await;
    assert!(error.contains("needs the secret API_KEY (`worker.secrets`)"), "{error}");
    assert_eq!(environment("API_KEY").await, CHANGED);

    for verb in [&["status", "--json"][..], &["status", "--limits"], &["history", "probe", "--json"]] {
        shown += &service.ok(verb).await;
    }
    shown += &error;
    for value in [OF_FILE, CHANGED, OF_AGENT] {
        assert_eq!(leaks(&service, &shown, value), [""; 0], "{value}");
    }
    // The master's own environment is what its user gave it.
    assert_eq!(leaks(&service, &shown, OF_ENVIRONMENT), ["environ of hatchery: master"]);
    assert!(service.log().contains("the guest trapped"), "there is a log to be searched");
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let service = Service::new();
    service.start(&[]).await;
    let folder =
        service.write(&App::new("probe").worker(Guest::ProbeP3, "workers = 1\nsecrets = [\"API_KEY\"]"));
    tell(service.command(&["secret", "set", "probe", "API_KEY"]), OF_FILE).await;
    let file = service.home().join("secrets/probe/API_KEY");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = service.fails(&["deploy", &folder]).await;
    assert!(error.contains("others can read or write") && error.contains("chmod 600"), "{error}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    service.ok(&["deploy", &folder]).await;
}
