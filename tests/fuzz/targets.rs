//! The decoders, and what each begins with. A target says whether it took its input.

use std::{
    fmt::Debug,
    fs,
    net::IpAddr,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use hatchery::{
    admin,
    bundle::{Archive, File, Index, Limits},
    cluster::{Action, AskError, AskTarget, DialError, Origin, Pid, Scheme, Target as To},
    ipc::{
        blackbox::{self, BlackBox},
        broker::{self, DialId, FromBroker},
        codec,
        compile::CompileReply,
        handoff::{ConnectionId, FromWorker, MAX_PACKET, ToWorker},
        message::{AskId, CheckId, PROTOCOL, QuestionId, RunId, ToMaster},
        store::{StoreReply, StoreRequest},
    },
    manifest::{Destination, OutboundHost, RunOn, load},
};
use serde::{Serialize, de::DeserializeOwned};

/// One decoder.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) run: fn(&[u8]) -> bool,
    pub(super) seeds: fn() -> Vec<Vec<u8>>,
    pub(super) is_slow: bool,
}

/// All.
pub(super) const TARGETS: &[Target] = &[
    Target { name: "frame", run: frame, seeds: frame_seeds, is_slow: false },
    Target { name: "handoff", run: handoff, seeds: handoff_seeds, is_slow: false },
    Target { name: "archive", run: archive, seeds: archive_seeds, is_slow: true },
    Target { name: "index", run: index, seeds: index_seeds, is_slow: false },
    Target { name: "manifest", run: manifest, seeds: manifest_seeds, is_slow: true },
    Target { name: "admin", run: admin_words, seeds: admin_seeds, is_slow: false },
    Target { name: "blackbox", run: black_box, seeds: black_box_seeds, is_slow: true },
    Target { name: "host", run: host, seeds: host_seeds, is_slow: false },
];

/// The longest frame, as with a `message-size` of 1 MiB.
const MAX_FRAME: usize = 2 << 20;

/// What a child sends, to the master, or a broker to its own.
fn frame(input: &[u8]) -> bool {
    let of_any = frames::<ToMaster>(input, MAX_FRAME);
    frames::<FromBroker>(input, broker::MAX_REPORT) || of_any
}

/// Frames, which come in two reads.
fn frames<T: DeserializeOwned + Serialize + PartialEq + Debug>(input: &[u8], max: usize) -> bool {
    let mut buf = BytesMut::from(&input[..input.len() / 2]);
    let mut rest = Some(&input[input.len() / 2..]);
    let mut taken = false;
    loop {
        let before = buf.len();
        match codec::decode::<T>(&mut buf, max) {
            Ok(Some((frame, data))) => {
                assert!(before - buf.len() >= codec::HEADER + data.len());
                let mut again = BytesMut::new();
                codec::encode(&mut again, &frame, &data).unwrap();
                let (back, data_back) = codec::decode::<T>(&mut again, MAX_FRAME).unwrap().unwrap();
                assert_eq!((back, data_back), (frame, data));
                taken = true;
            }
            Ok(None) => match rest.take() {
                Some(rest) => buf.extend_from_slice(rest),
                None => return taken,
            },
            Err(_) => return taken,
        }
    }
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let action = || Action::try_from("refresh".to_owned()).unwrap();
    let second = Duration::from_secs(1);
    let frames: Vec<(ToMaster, &[u8])> = vec![
        (ToMaster::Hello { protocol: PROTOCOL }, b""),
        (ToMaster::Ready, b""),
        (ToMaster::StartFailed { reason: "no such import".to_owned() }, b""),
        (ToMaster::Send { to: To::Pid(Pid(7)), action: action() }, b"data"),
        (ToMaster::Ask { ask: AskId(1), to: AskTarget::App, action: action(), timeout: second }, b"question"),
        (ToMaster::Answer { question: QuestionId(3), outcome: Ok(()) }, b"answer"),
        (ToMaster::Answer { question: QuestionId(3), outcome: Err(AskError::Failed("why".to_owned())) }, b""),
        (ToMaster::Consumed { messages: 64, bytes: 1 << 40 }, b""),
        (
            ToMaster::RunTask { run: RunId(1), name: "t".to_owned(), on: RunOn::All, has_payload: true },
            b"payload",
        ),
        (ToMaster::TaskDone { run: RunId(1), elapsed: second, result: Err("trap".to_owned()) }, b""),
        (ToMaster::Trapped { reason: "unreachable\n 0: x".to_owned(), requests: vec![] }, b""),
        (ToMaster::Recycle { reason: "served 10 requests".to_owned() }, b""),
        (ToMaster::Ends { reason: "out of memory".to_owned() }, b""),
        (ToMaster::Checked { check: CheckId(1), result: Ok(200) }, b""),
    ];
    let mut all = BytesMut::new();
    let mut seeds: Vec<Vec<u8>> = vec![];
    for (frame, data) in &frames {
        let mut one = BytesMut::new();
        codec::encode(&mut one, frame, data).unwrap();
        all.extend_from_slice(&one);
        seeds.push(one.to_vec());
    }
    seeds.push(all.to_vec());
    let mut breach = BytesMut::new();
    codec::encode(&mut breach, &FromBroker::Breach { pid: Pid(7), reason: "garbage".to_owned() }, b"")
        .unwrap();
    seeds.push(breach.to_vec());
    seeds
}

/// One packet, as any of those that are packets.
fn handoff(input: &[u8]) -> bool {
    /// Whoever takes it gives it back.
    fn takes<T: DeserializeOwned + Serialize + PartialEq>(input: &[u8]) -> bool {
        let Ok(word) = postcard::from_bytes::<T>(input) else { return false };
        let back = postcard::to_stdvec(&word).unwrap();
        assert!(postcard::from_bytes::<T>(&back).is_ok_and(|again| again == word));
        true
    }
    let from_worker = takes::<FromWorker>(&input[..input.len().min(MAX_PACKET)]);
    let others = [
        takes::<ToWorker>(&input[..input.len().min(MAX_PACKET)]),
        takes::<CompileReply>(input),
        takes::<StoreReply>(input),
        takes::<StoreRequest>(input),
        takes::<broker::Ask>(&input[..input.len().min(broker::MAX_PACKET)]),
        takes::<broker::Answer>(&input[..input.len().min(broker::MAX_PACKET)]),
    ];
    from_worker || others.contains(&true)
}

fn handoff_seeds() -> Vec<Vec<u8>> {
    let id = ConnectionId(u64::MAX);
    let words = [FromWorker::Accept(id), FromWorker::Refuse(ConnectionId(1)), FromWorker::Closed(id)];
    let mut seeds: Vec<_> = words.iter().map(|word| postcard::to_stdvec(word).unwrap()).collect();
    seeds.push(postcard::to_stdvec(&CompileReply::Err("no component".to_owned())).unwrap());
    seeds.push(postcard::to_stdvec(&StoreReply::Err("no bundle".to_owned())).unwrap());
    let to = Origin { scheme: Scheme::Https, host: "api.example.com".to_owned(), port: 443 };
    let ask = broker::Ask { id: DialId(1), to, within: Duration::from_secs(5) };
    seeds.push(postcard::to_stdvec(&ask).unwrap());
    seeds.push(postcard::to_stdvec(&broker::Answer::Failed(DialId(1), DialError::Refused)).unwrap());
    seeds
}

/// An archive's head: its index and the headers before it.
fn archive(input: &[u8]) -> bool {
    Archive::open(input, &Limits::default()).is_ok()
}

fn archive_seeds() -> Vec<Vec<u8>> {
    let index = index_seeds().remove(0);
    let mut header = tar::Header::new_ustar();
    header.set_path(hatchery::bundle::INDEX_NAME).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(index.len() as u64);
    header.set_cksum();
    let mut plain = header.as_bytes().to_vec();
    plain.extend_from_slice(&index);
    plain.resize(plain.len().next_multiple_of(512) + 1024, 0);
    let packed = zstd::encode_all(&plain[..], 3).unwrap();
    vec![packed, plain]
}

fn index(input: &[u8]) -> bool {
    match Index::parse(input) {
        Ok(index) => {
            assert_eq!(index.to_bytes(), input);
            let _ = index.bytes();
            true
        }
        Err(error) => {
            assert!(error.to_string().len() < 64 << 10);
            false
        }
    }
}

fn index_seeds() -> Vec<Vec<u8>> {
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text = format!(
        r#"{{"format":1,"name":"shop","version":"1.2.3","folders":["data"],"files":[{{"path":"hatchery.toml","size":41,"sha256":"{digest}"}},{{"path":"worker.wasm","size":7,"sha256":"{digest}"}}]}}"#
    );
    let _: fn(File) = drop;
    vec![text.into_bytes()]
}

/// A manifest whose files do not exist: nothing that it says can be right.
fn manifest(input: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hatchery.toml"), input).unwrap();
    fs::write(folder.path().join("worker.wasm"), b"\0asm").unwrap();
    match load(folder.path()) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.to_string().len() < 256 << 10);
            false
        }
    }
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    let text = r#"name = "shop"
version = "1.2.3"

[worker]
component = "worker.wasm"
listen = "127.0.0.1:7001"
workers = 2
environment = { SOURCE = "http://127.0.0.1:7002/" }
allowed-outbound-hosts = ["http://127.0.0.1:7002", "https://*.example.com"]

[limits]
memory = "64MiB"
request-timeout = "3s"

[[schedule]]
name = "refresh"
interval = "10m"
type = "all"

[[schedule]]
name = "nightly"
cron = "0 3 * * *"
timezone = "Europe/Berlin"
type = "one"
"#;
    vec![
        text.as_bytes().to_vec(),
        b"name = \"a\"\nversion = \"1\"\n[worker]\ncomponent = \"worker.wasm\"\nlisten = \"[::1]:0\"\n"
            .to_vec(),
    ]
}

/// A request's body, as each that there is.
fn admin_words(input: &[u8]) -> bool {
    fn takes<T: DeserializeOwned>(input: &[u8]) -> bool {
        serde_json::from_slice::<T>(input).is_ok()
    }
    [
        takes::<admin::Deploy>(input),
        takes::<admin::Rollback>(input),
        takes::<admin::Scale>(input),
        takes::<admin::Prune>(input),
    ]
    .contains(&true)
}

fn admin_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"bundle":"sha256:0a1b","canary":{"percent":10,"seconds":60},"allow_downgrade":false}"#,
        r#"{"bundle":null}"#,
        r#"{"workers":4}"#,
        r#"{"keep":5}"#,
        "{}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// What a process leaves behind: its first half where the requests are, the other where the lines end.
fn black_box(input: &[u8]) -> bool {
    let memory = fs::File::from(blackbox::create().unwrap());
    let (requests, lines) = input.split_at(input.len() / 2);
    memory.write_all_at(requests, 0).unwrap();
    memory.write_all_at(lines, memory.metadata().unwrap().len() - lines.len() as u64).unwrap();
    let left = blackbox::read(&memory).unwrap();
    assert!(left.requests.len() <= blackbox::REQUESTS && left.lines.len() <= blackbox::LINES);
    // A byte that is no text becomes a character of three.
    assert!(left.requests.iter().all(|request| request.request.len() <= 3 * blackbox::MAX_TEXT));
    assert!(left.lines.iter().map(String::len).sum::<usize>() <= 3 * blackbox::LOG);
    !left.requests.is_empty() && !left.lines.is_empty()
}

fn black_box_seeds() -> Vec<Vec<u8>> {
    let memory = fs::File::from(blackbox::create().unwrap());
    let child = BlackBox::open(&memory).unwrap();
    let now = Instant::now();
    let notes = [child.request("GET", "/slow?ms=100", now), child.request("POST", "/board", now)];
    let mut seed = vec![0; 600];
    memory.read_exact_at(&mut seed, 0).unwrap();
    drop(notes);
    let lines = b"2026-01-01T00:00:00Z INFO started\nand one of the guest's\n";
    seed.resize(1200 - lines.len(), 0);
    seed.extend_from_slice(lines);
    vec![seed]
}

/// Where a request goes, and what may be granted: each is read in one way.
fn host(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let destination = Destination::parse(text);
    if let Some(destination) = &destination {
        assert_eq!(Destination::parse(&destination.to_string()).as_ref(), Some(destination));
        if let Destination::Name(name) = destination {
            assert!(name.parse::<IpAddr>().is_err() && name.len() <= text.len());
        }
    }
    // One that is granted can be dialled, and grants itself.
    for entry in [text, &format!("http://{text}")] {
        let Ok(entry) = entry.parse::<OutboundHost>() else { continue };
        assert_eq!(entry.to_string().parse::<OutboundHost>().unwrap(), entry);
        assert!(entry.covers(&entry));
        assert!(!entry.allows("http", text, 80) || destination.is_some());
    }
    destination.is_some()
}

fn host_seeds() -> Vec<Vec<u8>> {
    [
        "api.Example.com.",
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "LOCALHOST",
        "https://*.example.com:8443",
        "0x7f.1",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
