//! A broken bundle of each kind: refused with a message of its own, while the old version's answers go on.

use std::{fs, net::SocketAddr, time::Duration};

use serde_json::Value;

use crate::support::{App, DEADLINE, Guest, Load, Service, bomb, eventually, generation, in_time};

/// How long a case may take: a compiler reaches its limits first.
const CASE: Duration = Duration::from_secs(60);

/// Who signs a bundle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signed {
    Ours,
    Theirs,
    Nobody,
}

/// How far it comes: what the store refuses is no app's yet, so no app's history has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refused {
    ByTheStore,
    ByTheDeploy,
}

struct Case {
    what: &'static str,
    app: App,
    signed: Signed,
    /// What is done to the archive.
    spoil: fn(&mut Vec<u8>),
    refused: Refused,
    /// All of it is in the message.
    expected: Vec<String>,
}

impl Case {
    fn of(what: &'static str, app: App, expected: &[&str]) -> Self {
        let expected = expected.iter().map(|&text| text.to_owned()).collect();
        let refused = Refused::ByTheDeploy;
        Self { what, app, signed: Signed::Ours, spoil: |_| {}, refused, expected }
    }

    /// The store itself refuses it.
    fn by_store(self, signed: Signed, spoil: fn(&mut Vec<u8>)) -> Self {
        Self { signed, spoil, refused: Refused::ByTheStore, ..self }
    }
}

fn version(number: &str, wasm: Vec<u8>, addr: SocketAddr, keys: &str) -> App {
    let keys = format!("workers = 2\nlisten = \"{addr}\"\n{keys}");
    App::new("probe").version(number).worker_wasm(wasm, &keys)
}

/// Another byte in a file, the archive's own checks left right.
fn flip(archive: &mut Vec<u8>) {
    let mut tar = zstd::decode_all(archive.as_slice()).unwrap();
    let wasm = tar.windows(8).rposition(|bytes| bytes == b"\0asm\x0d\0\x01\0").unwrap();
    tar[wasm + 1000] ^= 1;
    *archive = zstd::encode_all(tar.as_slice(), 1).unwrap();
}

fn halve(archive: &mut Vec<u8>) {
    archive.truncate(archive.len() / 2);
}

fn cases(addr: SocketAddr, other: SocketAddr) -> Vec<Case> {
    let probe = || Guest::ProbeP3.wasm();
    let with_wasm = |wasm: Vec<u8>| version("0.6.0", wasm, addr, "");
    let with_keys = |keys: &str| version("0.6.0", probe(), addr, keys);
    let good = || with_keys("");
    let half = probe()[..probe().len() / 2].to_vec();
    let foreign = wat::parse_str(r#"(component (import "foreign:thing/api@1.0.0" (instance)))"#).unwrap();
    let starts = |how: &str| {
        with_keys(&format!("environment = {{ START = \"{how}\", START_SAY = \"these are my last words\" }}"))
    };
    let never = "cannot deploy probe: cannot compile the worker of probe (";
    vec![
        Case::of(
            "not wasm",
            with_wasm(b"not wasm at all".to_vec()),
            &[never, "worker.wasm is not a WebAssembly component"],
        ),
        Case::of(
            "a core module",
            with_wasm(wat::parse_str("(module)").unwrap()),
            &[never, "is a core module, not a component; build it for the target wasm32-wasip2"],
        ),
        Case::of("a truncated component", with_wasm(half), &[never, "failed to parse WebAssembly module"]),
        Case::of("a truncated bundle", good(), &["it is cut off, damaged"]).by_store(Signed::Ours, halve),
        Case::of(
            "a wrong digest",
            good(),
            &["the file `worker.wasm` has the digest sha256:", "by the index; fetch the bundle again"],
        )
        .by_store(Signed::Ours, flip),
        Case::of("unsigned", good(), &["is not signed"]).by_store(Signed::Nobody, |_| {}),
        Case::of("a wrong key", good(), &["is signed by key", "which is not trusted"])
            .by_store(Signed::Theirs, |_| {}),
        Case::of(
            "older",
            version("0.4.0", probe(), addr, ""),
            &["version 0.4.0 is older than 0.5.0, which is deployed; use --allow-downgrade"],
        ),
        Case::of(
            "a missing import",
            with_wasm(foreign),
            &[never, "imports foreign:thing/api@1.0.0, which Hatchery does not offer"],
        ),
        Case::of(
            "a trap in `start`",
            starts("trap"),
            &[
                "cannot start: the guest trapped in start: wasm trap: ",
                "unreachable",
                "these are my last words",
            ],
        ),
        Case::of("an error of `start`", starts("error"), &["asked to fail", "these are my last words"]),
        Case::of(
            "an exit in `start`",
            starts("exit"),
            &["cannot start: the guest trapped in start: Exited with", "these are my last words"],
        ),
        Case::of(
            "never ready",
            starts("hang").more("[limits]\nstart-timeout = \"1s\""),
            // The process says so, or the master, whichever is first.
            &["within 1s", "start-timeout", "these are my last words"],
        ),
        Case::of(
            "a failing health check",
            good().more("[deploy]\nhealth = \"/nope\"\nhealth-within = \"1s\""),
            &[
                "did not pass its health check within 1s (`health-within`)",
                "GET /nope: answered 404, not 200",
            ],
        ),
        Case::of(
            "a compile bomb",
            with_wasm(bomb(3_000, 20_000)),
            &[never, "that takes more than 2.0 GiB of memory, the most that compiling may take"],
        ),
        Case::of(
            "the port of another app",
            version("0.6.0", probe(), other, ""),
            &[
                &format!("{other} is taken by the app other, which listens on {other}"),
                "give each app a port of its own",
            ],
        ),
    ]
}

#[tokio::test]
async fn broken_bundles_are_refused() {
    let service = Service::new();
    for key in ["our.key", "their.key"] {
        service.ok(&["keygen", "-o", key]).await;
    }
    let public = fs::read_to_string(service.folder().join("our.key.pub")).unwrap();
    let public = public.lines().nth(1).unwrap();
    let settings = format!("trusted-keys = [\"{public}\"]\nrequire-signature = true\n");
    fs::write(service.home().join("settings.toml"), settings).unwrap();
    service.start(&[]).await;

    // What goes well, the same way.
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let first = packed(&service, &version("0.5.0", Guest::ProbeP3.wasm(), any, ""), Signed::Ours).await;
    service.ok(&["deploy", &first]).await;
    service.ok(&["deploy", &first, "--app", "other"]).await;
    let (addr, other) = (service.addr_of("probe").await, service.addr_of("other").await);
    let fixed = packed(&service, &version("0.5.0", Guest::ProbeP3.wasm(), addr, ""), Signed::Ours).await;
    service.ok(&["deploy", &fixed]).await;
    assert_eq!(generation(addr).await, 2);

    let processes = service.processes();
    let load = Load::light(addr);
    load.goes_on(100).await;
    let (mut told, mut wrong): (Vec<String>, Vec<String>) = (vec![], vec![]);
    for case in cases(addr, other) {
        let what = case.what;
        let file = packed(&service, &case.app, case.signed).await;
        let mut archive = fs::read(&file).unwrap();
        (case.spoil)(&mut archive);
        fs::write(&file, archive).unwrap();
        let entries = history(&service).await.len();
        let begun = std::time::Instant::now();
        let error = tokio::time::timeout(CASE, service.fails(&["deploy", &file])).await.expect(what);
        println!("{what}: after {:?}: {}", begun.elapsed(), message(&error));
        let error = message(&error).to_owned();
        let missing = case.expected.iter().filter(|expected| !error.contains(expected.as_str()));
        wrong.extend(missing.map(|expected| format!("{what}: no {expected:?} in: {error}")));
        if told.contains(&error) {
            wrong.push(format!("{what}: not a message of its own: {error}"));
        }
        // The old one goes on, and nothing else does.
        assert_eq!(generation(addr).await, 2, "{what}");
        load.goes_on(20).await;
        assert!(
            in_time(DEADLINE, async || service.processes() == processes).await,
            "{what}: {:?}",
            service.processes()
        );
        let found = history(&service).await;
        assert_eq!(found.len() - entries, usize::from(case.refused == Refused::ByTheDeploy), "{what}");
        if case.refused == Refused::ByTheDeploy {
            let failure = found.last().unwrap()["failure"].as_str().unwrap().to_owned();
            assert!(error.contains(failure.lines().next().unwrap()), "{what}: {failure}");
        }
        assert_eq!(fs::read_dir(service.home().join("store/tmp")).unwrap().count(), 0, "{what}");
        told.push(error);
    }
    assert_eq!(load.end().await, [""; 0]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(service.ok(&["store", "verify"]).await.contains("verified"));
    // None of it is in the way of a good one.
    let good = packed(&service, &version("0.6.0", Guest::ProbeP3.wasm(), addr, ""), Signed::Ours).await;
    service.ok(&["deploy", &good]).await;
    eventually("the good one", async || generation(addr).await > 2).await;
}

/// Packs it, as the test's folder has it last.
async fn packed(service: &Service, app: &App, signed: Signed) -> String {
    let folder = service.write_to("packed", app);
    let file = format!("{folder}.hatchery");
    let pack = ["pack", &folder, "-o", &file];
    let sign: &[&str] = match signed {
        Signed::Ours => &["--sign", "our.key"],
        Signed::Theirs => &["--sign", "their.key"],
        Signed::Nobody => &[],
    };
    service.ok(&[&pack[..], sign].concat()).await;
    file
}

async fn history(service: &Service) -> Vec<Value> {
    service.history("probe").await["history"].as_array().unwrap().clone()
}

/// Without what the command logged.
fn message(error: &str) -> &str {
    &error[error.find("error: ").unwrap()..]
}
