//! What a guest can reach: what its manifest lists, and nothing else.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::support::{App, Cluster, Guest, get, here, put};

#[tokio::test]
async fn the_environment_is_what_is_listed() {
    for guest in Guest::PROBES {
        let keys = r#"workers = 1
environment = { ONE = "1", EMPTY = "", TEXT = "ünï \"quoted\" = $HOME" }"#;
        let cluster = Cluster::start(&[App::new("env").worker(guest, keys)]).await;
        let seen: Value = get(cluster.addr(), "/env").await.json();
        assert_eq!(seen, json!({ "ONE": "1", "EMPTY": "", "TEXT": "ünï \"quoted\" = $HOME" }));
        drop(cluster);
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        assert_eq!(get(cluster.addr(), "/env").await.json::<Value>(), json!({}));
    }
}

#[tokio::test]
async fn requests_go_to_allowed_hosts_only() {
    let (allowed, other) = (here(), here());
    for guest in Guest::PROBES {
        let keys = format!("workers = 1\nallowed-outbound-hosts = [\"http://{allowed}\"]");
        let cluster = Cluster::start(&[App::new("out").worker(guest, &keys)]).await;
        let fetch = async |url: &str| get(cluster.addr(), &format!("/fetch?url={url}")).await.json::<Value>();
        let got = fetch(&format!("http://{allowed}/any")).await;
        assert_eq!(got, json!({ "status": 200, "body": "here" }));
        let port = allowed.port();
        let denied = [
            // Another port, another name of the same host, another scheme.
            format!("http://{other}/"),
            format!("http://localhost:{port}/"),
            format!("https://{allowed}/"),
            format!("http://{allowed}@{other}/"),
        ];
        for (number, url) in denied.iter().enumerate() {
            let got = fetch(url).await;
            let error = got["error"].as_str().unwrap_or_else(|| panic!("{guest:?} {url}: {got}"));
            if !url.contains('@') {
                assert!(error.to_lowercase().contains("denied"), "{guest:?} {url}: {error}");
                cluster.log.wait_for_count("would allow it", number + 1).await;
            }
        }
        assert!(cluster.log.count("allowed-outbound-hosts") >= 3, "the log does not say what to do");
    }
}

#[tokio::test]
async fn nothing_is_reachable_by_default() {
    let addr = here();
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[App::probe(guest, 1)]).await;
        let got: Value = get(cluster.addr(), &format!("/fetch?url=http://{addr}/")).await.json();
        assert!(got["error"].as_str().unwrap().to_lowercase().contains("denied"), "{got}");
        for path in ["/", "/etc/passwd", ".", "/proc/self/environ"] {
            let got: Value = get(cluster.addr(), &format!("/fs/read?path={path}")).await.json();
            assert!(got["error"].is_string(), "{path}: {got}");
            let got: Value = get(cluster.addr(), &format!("/fs/list?path={path}")).await.json();
            assert!(got["error"].is_string(), "{path}: {got}");
        }
    }
}

#[tokio::test]
async fn folders_are_read_only_or_writable_and_have_no_way_out() {
    for guest in Guest::PROBES {
        let keys = r#"workers = 1
folders = [
    { source = "data", destination = "/data" },
    { source = "own", destination = "/own", writable = true },
]"#;
        let app = App::new("files")
            .worker(guest, keys)
            .file("data/a.txt", "text of a")
            .file("data/sub/b.txt", "text of b")
            .file("own/c.txt", "text of c")
            .file("secret.txt", "secret");
        let cluster = Cluster::start(&[app]).await;
        let folder = cluster.folder("files");
        symlink(folder.join("secret.txt"), folder.join("data/absolute")).unwrap();
        symlink("../secret.txt", folder.join("data/relative")).unwrap();
        symlink("..", folder.join("own/up")).unwrap();
        let addr = cluster.addr();
        let read = async |path: &str| get(addr, &format!("/fs/read?path={path}")).await.json::<Value>();
        let write =
            async |path: &str| put(addr, &format!("/fs/write?path={path}"), "new").await.json::<Value>();

        assert_eq!(read("/data/a.txt").await, json!({ "text": "text of a" }));
        assert_eq!(read("/data/sub/b.txt").await, json!({ "text": "text of b" }));
        assert_eq!(read("/data/sub/../a.txt").await, json!({ "text": "text of a" }));
        assert_eq!(write("/own/new.txt").await, json!({ "bytes": 3 }));
        assert_eq!(fs::read_to_string(folder.join("own/new.txt")).unwrap(), "new");
        let list: Value = get(addr, "/fs/list?path=/own").await.json();
        assert_eq!(list, json!({ "entries": ["c.txt", "new.txt", "up"] }));

        for path in [
            "/data/../secret.txt",
            "/data/sub/../../secret.txt",
            "/data/absolute",
            "/data/relative",
            "/own/up/secret.txt",
            "/own/../secret.txt",
            "/secret.txt",
            "secret.txt",
        ] {
            let got = read(path).await;
            assert!(got["error"].is_string(), "{guest:?} reads {path}: {got}");
        }
        for path in [
            "/data/a.txt",
            "/data/new.txt",
            "/own/up/new.txt",
            "/own/../new.txt",
            "/own/up/secret.txt",
            "/new.txt",
        ] {
            let got = write(path).await;
            assert!(got["error"].is_string(), "{guest:?} writes {path}: {got}");
        }
        assert_eq!(fs::read_to_string(folder.join("secret.txt")).unwrap(), "secret");
        assert_eq!(fs::read_to_string(folder.join("data/a.txt")).unwrap(), "text of a");
        assert!(!folder.join("new.txt").exists() && !folder.join("data/new.txt").exists());
    }
}

#[tokio::test]
async fn what_guests_print_is_marked() {
    for guest in Guest::PROBES {
        let app = App::new("talks").worker(guest, "workers = 1");
        let cluster = Cluster::start(&[app]).await;
        let addr = cluster.addr();
        get(addr, "/print?out=one%20line%0A&err=and%20an%20error%0A").await;
        cluster.log.wait_for("talks worker/0 out | one line").await;
        cluster.log.wait_for("talks worker/0 err | and an error").await;
        // A line that comes in pieces is one line, and several at once are several.
        get(addr, "/print?out=begun").await;
        get(addr, "/print?out=%2Cended%0Asecond%0A").await;
        cluster.log.wait_for("talks worker/0 out | second").await;
        assert_eq!(cluster.log.count("talks worker/0 out | begun,ended"), 1);
        // It can't look like a line of ours, nor colour the terminal.
        get(addr, "/print?out=%1B[31mred%0A").await;
        cluster.log.wait_for("red").await;
        assert!(!cluster.log.all().contains('\u{1b}'));
    }
}

#[tokio::test]
async fn json_lines_say_whose_they_are() {
    let app = App::new("talks").worker(Guest::ProbeP3, "workers = 1");
    let cluster = Cluster::start_with(&[app], &["--log-format", "json"]).await;
    get(cluster.addr(), "/print?out=one%20line%0A").await;
    cluster.log.wait_for("one line").await;
    for line in cluster.log.all().lines() {
        let parsed: Result<Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|line| line.is_object()), "{line}");
    }
    let line: Value = serde_json::from_str(&cluster.log.with("one line")[0]).unwrap();
    let text = line.to_string();
    assert!(text.contains("talks") && text.contains("worker"), "{text}");
}
