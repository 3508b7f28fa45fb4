//! Requests of guests to other hosts: what is named is reached, by whatever spelling, and nothing else is.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
};

use http::{Response, header};
use serde_json::{Value, json};

use crate::support::{App, Certificate, Cluster, Guest, Liar, Service, empty, eventually_some, full, get};

/// A liar that answers every request with `here`.
fn here() -> Liar {
    Liar::start(|_| Response::new(full("here")))
}

/// An app `out` that is granted these, quoted.
fn granted(guest: Guest, hosts: &str) -> App {
    App::new("out").worker(guest, &format!("workers = 1\nallowed-outbound-hosts = [{hosts}]"))
}

async fn fetch(addr: SocketAddr, url: &str) -> Value {
    get(addr, &format!("/fetch?url={url}")).await.json()
}

/// The error that it has to be.
async fn refused(addr: SocketAddr, url: &str) -> String {
    let got = fetch(addr, url).await;
    got["error"].as_str().unwrap_or_else(|| panic!("{url}: {got}")).to_lowercase().replace(['-', ' '], "")
}

#[tokio::test]
async fn named_addresses_are_reached_in_right_spellings_only() {
    let liar = here();
    let (addr, port) = (liar.addr, liar.addr.port());
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[granted(guest, &format!("\"http://{addr}\""))]).await;
        for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1."] {
            let got = fetch(cluster.addr(), &format!("http://{host}:{port}/")).await;
            assert_eq!(got, json!({ "status": 200, "body": "here" }), "{guest:?} {host}");
        }
        let before = liar.seen("").len();
        for host in [
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "127.0.0.1..",
            "%25312%2537.0.0.1",
            "localhost",
            "LOCALHOST.",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "127.0.0.2",
            "169.254.169.254",
            "[fd00:ec2::254]",
        ] {
            let error = refused(cluster.addr(), &format!("http://{host}:{port}/")).await;
            let is_clear = error.contains("denied") || error.contains("urlis") || error.contains("uri");
            assert!(is_clear, "{guest:?} {host}: {error}");
        }
        assert_eq!(liar.seen("").len(), before);
    }
}

/// A name that the machine's own file of hosts gives to 127.0.0.1.
fn local_name() -> Option<String> {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().filter(|line| line.starts_with("127."));
    let mut names = lines.flat_map(|line| line.split_whitespace().skip(1));
    names.find(|name| *name != "localhost" && name.parse::<u8>().is_err()).map(str::to_owned)
}

#[tokio::test]
async fn a_name_must_not_lead_here_though_it_is_granted() {
    let Some(name) = local_name() else {
        eprintln!("no other name than localhost leads to 127.0.0.1 here");
        return;
    };
    let liar = here();
    let port = liar.addr.port();
    for guest in Guest::PROBES {
        let hosts = format!("\"http://{name}:*\", \"http://localhost:{port}\", \"http://*.invalid\"");
        let cluster = Cluster::start(&[granted(guest, &hosts)]).await;
        let error = refused(cluster.addr(), &format!("http://{name}:{port}/")).await;
        assert!(error.contains("prohibited"), "{guest:?}: {error}");
        cluster.log.wait_for("allowed-outbound-hosts = [\"http://127.0.0.1").await;
        // `localhost` is named, and needs no looking up.
        let got = fetch(cluster.addr(), &format!("http://LocalHost:{port}/")).await;
        assert_eq!(got["status"], 200, "{got}");
        let error = refused(cluster.addr(), "http://nobody.invalid/").await;
        assert!(error.contains("dns"), "{guest:?}: {error}");
        assert_eq!(liar.seen("").len(), 1);
        drop(cluster);
        liar.forget();
    }
}

#[tokio::test]
async fn a_redirect_is_the_guests_and_is_looked_at_again() {
    let other = here();
    let to = format!("http://{}/secret", other.addr);
    let location = to.clone();
    let liar = Liar::start(move |_| {
        let response = Response::builder().status(302).header(header::LOCATION, &location);
        response.body(empty()).unwrap()
    });
    for guest in Guest::PROBES {
        let cluster = Cluster::start(&[granted(guest, &format!("\"http://{}\"", liar.addr))]).await;
        let got = fetch(cluster.addr(), &format!("http://{}/", liar.addr)).await;
        assert_eq!(got, json!({ "status": 302, "body": "" }));
        assert!(refused(cluster.addr(), &to).await.contains("denied"));
    }
    assert_eq!(other.seen("").len(), 0);
}

#[tokio::test]
async fn what_was_denied_is_in_the_status_with_what_would_allow_it() {
    let liar = here();
    let service = Service::new();
    let folder = service.write(&granted(Guest::ProbeP3, &format!("\"http://{}\"", liar.addr)));
    let bare = service.write(&App::new("bare").worker(Guest::ProbeP2, "workers = 1"));
    service.start(&[&folder, &bare]).await;
    let addr = service.addr_of("out").await;
    assert_eq!(fetch(addr, &format!("http://{}/", liar.addr)).await["status"], 200);
    for _ in 0..30 {
        refused(addr, "http://169.254.169.254/latest/meta-data/secret").await;
    }
    refused(addr, "https://API.example.com/secret").await;
    let denied = async |app: &str, entries: usize, first: u64| {
        eventually_some("all of it in the status", async || {
            let status = service.status().await;
            let apps = status["apps"].as_array().unwrap();
            let found = apps.iter().find(|found| found["name"] == app).unwrap()["denied"].clone();
            (found.as_array()?.len() == entries && found[0]["count"] == first).then_some(found)
        })
        .await
    };
    let found = denied("out", 2, 30).await;
    let reason = "the manifest does not name it";
    let allow = |origin: &str| format!("allowed-outbound-hosts = [\"{origin}\"]");
    assert_eq!(
        found,
        json!([
            { "origin": "http://169.254.169.254", "count": 30, "reason": reason, "allow": allow("http://169.254.169.254") },
            { "origin": "https://api.example.com", "count": 1, "reason": reason, "allow": allow("https://api.example.com") },
        ])
    );
    let text = service.ok(&["status", "out"]).await;
    assert!(
        text.contains("30  http://169.254.169.254: ") && text.contains(&allow("https://api.example.com")),
        "{text}"
    );
    // However often: one line in the log for each.
    let log = service.log();
    assert_eq!(log.matches("request to http://169.254.169.254 denied").count(), 1, "{log}");
    assert!(!log.contains("secret"), "a path in the log");

    // One that is granted nothing has no broker, and the same ledger.
    let addr = service.addr_of("bare").await;
    for _ in 0..3 {
        assert!(refused(addr, &format!("http://{}/", liar.addr)).await.contains("denied"));
    }
    let found = denied("bare", 1, 3).await;
    assert_eq!(found[0]["origin"], format!("http://{}", liar.addr));
    let brokers: Vec<_> =
        service.processes().into_iter().filter(|one| one.title.contains("broker")).collect();
    assert_eq!(brokers.iter().map(|one| one.title.as_str()).collect::<Vec<_>>(), ["hatchery: broker out"]);
}

#[tokio::test]
async fn the_homes_policy_binds_what_runs() {
    let liar = here();
    for (policy, is_allowed) in [
        ("[any]\noutbound-private = false\n", false),
        ("[app.out]\noutbound-hosts = []\n", false),
        ("[app.other]\noutbound-hosts = []\n", true),
    ] {
        let mut cluster = Cluster::prepare(&[granted(Guest::ProbeP3, &format!("\"http://{}\"", liar.addr))]);
        fs::write(cluster.home().join("policy.toml"), policy).unwrap();
        cluster.launch(&[]);
        cluster.ready().await;
        let got = fetch(cluster.addr(), &format!("http://{}/", liar.addr)).await;
        if is_allowed {
            assert_eq!(got["status"], 200, "{policy}: {got}");
        } else {
            assert!(got["error"].as_str().unwrap().to_lowercase().contains("denied"), "{policy}: {got}");
            cluster.log.wait_for("the home's policy.toml does not allow it").await;
        }
    }
}

#[tokio::test]
async fn tls_trusts_whom_the_master_trusts() {
    let certificate = Certificate::new();
    let liar = Liar::start_tls(&certificate, |_| Response::new(full("here")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, &certificate.pem).unwrap();
    let url = format!("https://{}/", liar.addr);
    for guest in Guest::PROBES {
        for is_trusted in [true, false] {
            let mut cluster = Cluster::prepare(&[granted(guest, &format!("\"https://{}\"", liar.addr))]);
            cluster.env("SSL_CERT_FILE", if is_trusted { file.as_os_str() } else { "".as_ref() });
            cluster.launch(&[]);
            cluster.ready().await;
            if is_trusted {
                let got = fetch(cluster.addr(), &url).await;
                assert_eq!(got, json!({ "status": 200, "body": "here" }), "{guest:?}");
            } else {
                let error = refused(cluster.addr(), &url).await;
                assert!(error.contains("certificate"), "{guest:?}: {error}");
            }
        }
    }
}

/// Says this to every request, and reads on.
fn says(text: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, text) = (stream.unwrap(), text.clone());
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(text.as_bytes());
                while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
            });
        }
    });
    addr
}

#[tokio::test]
async fn responses_have_bounds() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let large = says(format!("{ok}content-length: 4096\r\n\r\n{}", "x".repeat(4096)));
    let fields = says(format!("{ok}{}content-length: 0\r\n\r\n", "a: b\r\n".repeat(200)));
    for guest in Guest::PROBES {
        let hosts = format!("\"http://{large}\", \"http://{fields}\"");
        let app = granted(guest, &hosts).more("[limits]\noutbound-size = \"2KiB\"");
        let cluster = Cluster::start(&[app]).await;
        let error = refused(cluster.addr(), &format!("http://{large}/")).await;
        assert!(error.contains("responsebodysize"), "{guest:?}: {error}");
        let error = refused(cluster.addr(), &format!("http://{fields}/")).await;
        assert!(error.contains("headersectionsize"), "{guest:?}: {error}");
        assert_eq!(get(cluster.addr(), "/hello").await.status, 200);
    }
}
