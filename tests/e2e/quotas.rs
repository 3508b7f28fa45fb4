//! The limits of an app: each is held, shown, and nobody else's affair.

use std::{fs, time::Duration};

use serde_json::Value;

use crate::support::{App, Cluster, Guest, Probe, Service, bomb, eventually, get, put, try_put};

/// A limit's row in `status --json`.
fn limit<'a>(status: &'a Value, app: &str, key: &str) -> &'a Value {
    let apps = status["apps"].as_array().unwrap();
    let app = apps.iter().find(|found| found["name"] == app).unwrap();
    app["limits"].as_array().unwrap().iter().find(|limit| limit["key"] == key).unwrap()
}

#[tokio::test]
async fn a_flood_of_messages_is_overloaded_and_others_go_on() {
    let service = Service::new();
    let flood = App::new("flood").worker(Guest::ProbeP3, "workers = 2").agent(Guest::ProbeP3, "");
    let flood = service.write(&flood.more("[limits]\nmessage-rate = 1000"));
    let other =
        service.write(&App::new("other").worker(Guest::ProbeP3, "workers = 1").agent(Guest::ProbeP3, ""));
    service.start(&[&flood, &other]).await;
    let mut workers = Probe::each(service.addr_of("flood").await, 2).await;
    let mut beside = Probe::each(service.addr_of("other").await, 1).await;
    let (first, second) = workers.split_at_mut(1);
    let (one, two, calm) = tokio::join!(
        first[0].send("agent", "flood", 20_000),
        second[0].send("agent", "flood", 20_000),
        beside[0].send("agent", "calm", 1000),
    );
    assert_eq!(calm.ok, 1000, "another app's messages are its own affair");
    for sent in [&one, &two] {
        assert!(sent.ok < 10_000, "{} of 20,000 went out", sent.ok);
        assert!(sent.errors.iter().all(|error| error == "overloaded"), "{:?}", sent.errors.first());
    }
    eventually("the calm ones", async || beside[0].agent_messages("calm").await.len() == 1000).await;
    // What was accepted came, up to what two at once had under way.
    let status = service.status().await;
    let row = limit(&status, "flood", "message-rate");
    assert_eq!((&row["limit"], &row["unit"]), (&1000.into(), &"per-second".into()));
    assert!(row["hits"].as_u64().unwrap() > 10_000, "{row}");
    assert_eq!(limit(&status, "other", "message-rate")["hits"], 0);
    // It is a pause, not an end: after it there is room again.
    eventually("room again", async || first[0].send("agent", "later", 1).await.ok == 1).await;
    let table = service.ok(&["status", "flood", "--limits"]).await;
    assert!(table.contains("message-rate") && table.contains("1000/s"), "{table}");
}

#[tokio::test]
async fn a_flood_of_lines_is_dropped_and_counted() {
    let loud = App::new("loud").worker(Guest::ProbeP3, "workers = 1").more("[limits]\nlog-rate = \"16KiB\"");
    let cluster = Cluster::start(&[loud]).await;
    let line = "x".repeat(4000);
    for _ in 0..40 {
        get(cluster.addr(), &format!("/print?out={line}%0A")).await;
    }
    // Said by itself, when there is room again.
    cluster.log.wait_for("of the guest's log lines").await;
    let said = cluster.log.with("of the guest's log lines");
    assert!(said[0].contains("more than 16KiB a second (`log-rate`)"), "{said:?}");
    let number = |line: &String| -> usize {
        line.split("dropped ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    let counts = || {
        let said = cluster.log.with("of the guest's log lines");
        (cluster.log.count(&line), said.iter().map(number).sum::<usize>())
    };
    eventually("each written or counted", async || counts().0 + counts().1 == 40).await;
    let (written, _) = counts();
    assert!(written < 20, "{written} lines of 4,000 bytes");
    // The host's own lines have room of their own.
    get(cluster.addr(), "/trap").await;
    cluster.log.wait_for("the guest trapped").await;
}

#[tokio::test]
async fn folders_past_their_quota_are_read_only_until_there_is_room() {
    let keys = "workers = 1\nfolders = [{ source = \"own\", destination = \"/own\", writable = true }]";
    let app = App::new("full").worker(Guest::ProbeP3, keys).file("own/first", "text");
    let app = app.more("[limits]\ndisk = \"1MiB\"");
    let other = App::new("beside").worker(Guest::ProbeP3, keys).file("own/first", "text");
    let cluster = Cluster::start(&[app, other]).await;
    let (addr, beside) = (cluster.addr_of("full"), cluster.addr_of("beside"));
    let write = async |addr, name: &str, bytes: usize| -> Value {
        put(addr, &format!("/fs/write?path=/own/{name}"), vec![b'x'; bytes]).await.json()
    };
    assert_eq!(write(addr, "small", 1000).await["bytes"], 1000);
    assert_eq!(write(addr, "large", 1_500_000).await["bytes"], 1_500_000);
    assert_eq!(write(beside, "large", 1_500_000).await["bytes"], 1_500_000);
    eventually("read-only folders", async || write(addr, "more", 1000).await["error"].is_string()).await;
    cluster.log.wait_for("more than 1MiB (`disk`): they are read-only now").await;
    // It still answers, and reads; its neighbour writes.
    let read: Value = get(addr, "/fs/read?path=/own/first").await.json();
    assert_eq!(read["text"], "text");
    assert_eq!(write(beside, "more", 1000).await["bytes"], 1000);
    fs::remove_file(cluster.folder("full").join("own/large")).unwrap();
    eventually("writable again", async || write(addr, "more", 1000).await["bytes"] == 1000).await;
}

#[tokio::test]
async fn files_that_are_open_and_removed_take_of_the_disk() {
    let keys = "workers = 1\nfolders = [{ source = \"own\", destination = \"/own\", writable = true }]";
    for guest in Guest::PROBES {
        let app = App::new("holds").worker(guest, keys).file("own/first", "text");
        let cluster = Cluster::start(&[app.more("[limits]\ndisk = \"1MiB\"")]).await;
        let addr = cluster.addr();
        let before = cluster.process("worker holds/0");
        let held: Value = put(addr, "/fs/hold?path=/own/held", vec![b'x'; 3_000_000]).await.json();
        assert_eq!(held["bytes"], 3_000_000);
        assert_eq!(fs::read_dir(cluster.folder("holds").join("own")).unwrap().count(), 1, "it has no name");
        cluster.log.wait_for("more than 1MiB (`disk`)").await;
        eventually("it is killed", async || !before.lives()).await;
        // With it the file is gone.
        eventually("writable again", async || {
            let written = try_put(addr, "/fs/write?path=/own/more", vec![b'x'; 1000]).await;
            written.is_ok_and(|reply| reply.status == 200 && reply.json::<Value>()["bytes"] == 1000)
        })
        .await;
    }
}

#[tokio::test]
async fn an_app_past_its_memory_loses_its_largest_process() {
    let large = App::probe(Guest::ProbeP3, 6).more("[limits]\napp-memory = \"64MiB\"");
    let mut cluster = Cluster::spawn(&[large, App::new("calm").worker(Guest::ProbeP3, "workers = 1")], &[]);
    cluster.ready().await;
    cluster.log.wait_for("more than 64.0 MiB (`app-memory`), and this one").await;
    for _ in 0..20 {
        assert_eq!(get(cluster.addr_of("calm"), "/hello").await.status, 200);
    }
}

#[tokio::test]
async fn a_process_has_its_files_and_its_share_of_the_cpu() {
    let app = App::probe(Guest::ProbeP3, 1).more("[limits]\nopen-files = 80\ncpu-weight = 50");
    let cluster = Cluster::start(&[app]).await;
    let id = cluster.process("worker probe/0").id;
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["80", "80"]);
    let nice = |id: i32| -> i64 {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
    };
    assert_eq!(nice(id) - nice(cluster.master().id), 3);
}

#[tokio::test]
async fn compiling_takes_no_longer_than_the_app_may() {
    let service = Service::new();
    let app =
        App::new("bomb").worker_wasm(bomb(1_000, 500), "workers = 1").more("[limits]\ncompile-time = \"2s\"");
    let folder = service.write(&app);
    let begun = std::time::Instant::now();
    let error = service.fails(&["check", &folder]).await;
    assert!(
        error.contains("takes more than 2s of CPU time") && error.contains("(`compile-time`)"),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
