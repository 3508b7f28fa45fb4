//! `hatchery start --foreground`, as systemd runs it, and the log of a master in the background.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::net::UnixDatagram,
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::support::{App, DEADLINE, Guest, Lines, Service, eventually, get, gone};

/// Where systemd listens.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(service: &Service, command: &mut Command) -> Self {
        let socket = service.home().join("notify");
        command.env("NOTIFY_SOCKET", &socket);
        let listening = UnixDatagram::bind(socket).unwrap();
        listening.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(listening)
    }

    /// What it is told next.
    fn hears(&self) -> String {
        let mut news = [0; 1024];
        let length = self.0.recv(&mut news).expect("it is told something in time");
        String::from_utf8(news[..length].to_vec()).unwrap()
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().unwrap().try_into().unwrap()), signal).unwrap();
}

#[tokio::test]
async fn systemd_is_told_and_sigterm_ends_in_order() {
    let service = Service::new();
    let slow = "workers = 1\nenvironment = { START = \"slow:300\" }";
    let app = service.write(&App::new("probe").worker(Guest::ProbeP3, slow));
    service.start(&[&app]).await;
    service.ok(&["stop"]).await;

    let mut command = service.command(&["start", "--foreground"]);
    let manager = Manager::listen(&service, &mut command);
    let mut master = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(manager.hears(), "READY=1\n");
    // By then everything is back.
    let addr = service.addr_of("probe").await;
    assert_eq!(get(addr, "/hello").await.text(), "hello\n");

    signal(&master, Signal::SIGHUP);
    let news = manager.hears();
    let (first, second) = news.split_once('\n').unwrap();
    assert_eq!(first, "RELOADING=1");
    let time = second.trim_end().strip_prefix("MONOTONIC_USEC=").expect("when");
    assert!(time.parse::<u64>().unwrap() > 0, "{news}");
    assert_eq!(manager.hears(), "READY=1\n");
    // By then the reload is over.
    let status = service.status().await;
    let generations = status["apps"][0]["generations"].as_array().unwrap();
    assert_eq!(generations.len(), 1, "{status}");
    assert_eq!(generations[0]["generation"], 2, "{status}");

    // What is in hand is answered.
    let slow = tokio::spawn(async move { get(addr, "/sleep?ms=1000").await.status });
    eventually("the request", async || service.status().await["apps"][0]["in_flight"] == 1).await;
    let processes = service.processes();
    signal(&master, Signal::SIGTERM);
    assert_eq!(manager.hears(), "STOPPING=1\n");
    assert_eq!(slow.await.unwrap(), 200);
    let status = master.wait().await.unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(gone(&processes, Duration::from_secs(1)).await);
    assert!(!service.home().join("hatchery.sock").exists());
    let mut printed = String::new();
    let mut stdout = File::from(master.stdout.take().unwrap().into_owned_fd().unwrap());
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(printed, format!("ready app=probe addr={addr}\n"));
}

/// Nobody listens: that is no reason not to serve.
#[tokio::test]
async fn a_deaf_manager_holds_nothing_up() {
    let service = Service::new();
    let mut command = service.command(&["start", "--foreground"]);
    command.env("NOTIFY_SOCKET", service.home().join("nowhere"));
    let master = command.stderr(Stdio::piped()).spawn().unwrap();
    eventually("the service", async || service.run(&["status"]).await.code == Some(0)).await;
    signal(&master, Signal::SIGTERM);
    let output = master.wait_with_output().await.unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("cannot tell the service manager ($NOTIFY_SOCKET)"), "{log}");
}

/// Children write to the same file: what they write after the cut goes to its beginning.
#[tokio::test]
async fn the_log_is_cut_while_children_write() {
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP3, 2));
    service.start(&[&app]).await;
    let addr = service.addr_of("probe").await;
    let log = service.home().join("logs/hatchery.log");
    let size = || fs::metadata(&log).unwrap().len();
    File::options().write(true).open(&log).unwrap().set_len(17 << 20).unwrap();
    let mut number = 0;
    eventually("the cut", async || {
        number += 1;
        assert_eq!(get(addr, &format!("/print?out=line-{number}-%0A")).await.status, 200);
        size() < 1 << 20
    })
    .await;
    let former = fs::metadata(service.home().join("logs/hatchery.log.1")).unwrap().len();
    assert!(former >= 17 << 20, "{former}");
    for _ in 0..8 {
        number += 1;
        assert_eq!(get(addr, &format!("/print?out=line-{number}-%0A")).await.status, 200);
    }
    eventually("the last line", async || service.log().contains(&format!("line-{number}-"))).await;
    let text = service.log();
    assert!(!text.contains('\0'), "there is a hole");
    assert!(text.lines().count() >= 8 && size() < 1 << 20, "{text}");
}

/// Its path is on the command line of a unit: the app is back already, or a newer version of it is.
#[tokio::test]
async fn what_is_deployed_already_does_not_end_it() {
    let service = Service::new();
    let app = |version: &str| {
        let slow = "workers = 1\nenvironment = { START = \"slow:300\" }";
        App::new("probe").version(version).worker(Guest::ProbeP3, slow)
    };
    let (same, older) = (service.write_to("2", &app("2.0.0")), service.write_to("1", &app("1.0.0")));
    service.start(&[&same]).await;
    service.ok(&["stop"]).await;

    for path in [&same, &older] {
        let mut command = service.command(&["start", "--foreground", path]);
        let mut master = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::of(File::from(master.stdout.take().unwrap().into_owned_fd().unwrap()));
        let stderr = Lines::of(File::from(master.stderr.take().unwrap().into_owned_fd().unwrap()));
        // Once it is back, and once more it is deployed.
        let is_deployed = || {
            if path == &same {
                stdout.count("ready app=probe") == 2
            } else {
                stderr.count("error: cannot deploy probe: version 1.0.0 is older than 2.0.0") == 1
            }
        };
        eventually("what becomes of it", async || is_deployed()).await;
        let addr = service.addr_of("probe").await;
        assert_eq!(get(addr, "/hello").await.status, 200);
        signal(&master, Signal::SIGTERM);
        assert_eq!(master.wait().await.unwrap().code(), Some(0), "{}", stderr.ended().await);
    }
}

/// `hatchery start` was ended by a Ctrl-C while apps came back.
#[tokio::test]
async fn one_that_nobody_reads_goes_on() {
    let service = Service::new();
    let slow = "workers = 1\nenvironment = { START = \"slow:500\" }";
    let app = service.write(&App::new("probe").worker(Guest::ProbeP3, slow));
    service.start(&[&app]).await;
    service.ok(&["stop"]).await;

    let mut command = service.command(&["start", "--background"]);
    command.arg0("hatchery: master").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut master = command.spawn().unwrap();
    drop((master.stdout.take(), master.stderr.take()));
    eventually("the app", async || {
        let status = service.run(&["status"]).await;
        status.code == Some(0) && status.stdout.contains("probe")
    })
    .await;
    assert_eq!(get(service.addr_of("probe").await, "/hello").await.status, 200);
    // All that comes after it was brought back works too.
    service.ok(&["reload", "probe"]).await;
    service.ok(&["stop"]).await;
    assert_eq!(master.wait().await.unwrap().code(), Some(0));
}
