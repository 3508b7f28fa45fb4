//! Native code that somebody changed in the cache: never loaded, and never a crash. Every bit in turn is in
//! `cache`, in one process; here a few, from outside. And compilers that were taken over: what they say is
//! checked, and they have nothing to write to but their own code.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::good;
use crate::support::{App, Guest, Service, eventually, get};

/// How long a compiler that has answered has to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of data in a large component; its native code has as many.
const LARGE: usize = 20 << 20;

/// How much more memory, in KiB, the master may ever have had after it.
const MORE_MEMORY: u64 = 12 << 10;

/// The native code that is there.
pub(super) fn entries(service: &Service) -> Vec<PathBuf> {
    let files = fs::read_dir(service.home().join("cache")).unwrap().flatten().map(|file| file.path());
    files.filter(|file| file.extension().is_some_and(|end| end == "native")).collect()
}

fn entry(service: &Service) -> PathBuf {
    let native = entries(service);
    let [one] = native.as_slice() else { panic!("{native:?}") };
    one.clone()
}

#[tokio::test]
async fn code_that_was_tampered_with_is_compiled_anew() {
    let service = Service::with_own_cache();
    let folder = service.write(&good());
    service.start(&[&folder]).await;
    let file = entry(&service);
    let whole = fs::read(&file).unwrap();
    let key = service.home().join("cache.key");
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let cases = [
        ("the first byte of the MAC", flipped(0)),
        ("a byte of the head", flipped(50)),
        ("a byte in the middle", flipped(whole.len() / 2)),
        ("the last byte", flipped(whole.len() - 1)),
        ("nothing", vec![]),
        ("half of it", whole[..whole.len() / 2].to_vec()),
        ("more than there was", [&whole[..], b"x"].concat()),
        ("the code without its MAC", whole[32..].to_vec()),
    ];
    let master = service.master().unwrap();
    for (what, bytes) in cases {
        fs::write(&file, bytes).unwrap();
        let said = service.log().matches("does not verify; compiling anew").count();
        service.ok(&["reload", "good"]).await;
        assert_eq!(service.log().matches("does not verify; compiling anew").count(), said + 1, "{what}");
        assert_eq!(get(service.addr_of("good").await, "/hello").await.status, 200, "{what}");
        assert_eq!(fs::read(&file).unwrap().len(), whole.len(), "{what}: it is whole again");
    }
    // Another one's key makes no code right.
    fs::write(&key, [7; 32]).unwrap();
    let said = service.log().matches("does not verify; compiling anew").count();
    service.ok(&["reload", "good"]).await;
    assert_eq!(service.log().matches("does not verify; compiling anew").count(), said + 1);
    assert_eq!(service.master().unwrap(), master);
    assert_eq!(master.zombies(), 0);
}

#[tokio::test]
async fn no_entry_stands_for_another() {
    let service = Service::with_own_cache();
    let other = App::new("other").worker(Guest::ProbeP2, "workers = 1");
    let folders = [service.write(&good()), service.write(&other)];
    service.start(&[&folders[0], &folders[1]]).await;
    let files = entries(&service);
    let [one, two] = files.as_slice() else { panic!("{files:?}") };
    let [first, second] = [one, two].map(|file| fs::read(file).unwrap());
    fs::write(one, &second).unwrap();
    fs::write(two, &first).unwrap();
    for (app, path) in [("good", "/hello"), ("other", "/env")] {
        service.ok(&["reload", app]).await;
        assert_eq!(get(service.addr_of(app).await, path).await.status, 200, "{app}");
    }
    assert_eq!(service.log().matches("does not verify; compiling anew").count(), 2);
    assert_eq!([one, two].map(|file| fs::read(file).unwrap().len()), [first.len(), second.len()]);
}

#[tokio::test]
async fn a_compiler_that_lies_is_refused() {
    for (lie, expected) in [
        ("nothing", "gave no code that can be used: it wrote nothing"),
        ("garbage", "what it wrote is not what it says that it wrote"),
        ("more", "bytes, and says that it wrote"),
        ("late", "what it wrote is not what it says that it wrote"),
        ("far", "it wrote 1073741824 bytes, and says that it wrote"),
    ] {
        let service = Service::with_own_cache();
        let done =
            service.command(&["start"]).env("HATCHERY_TEST_LYING_COMPILER", lie).output().await.unwrap();
        assert!(done.status.success(), "{lie}: {done:?}");
        let master = service.master().unwrap();
        let folder = service.write(&good());
        let begun = Instant::now();
        let error = service.fails(&["deploy", &folder]).await;
        assert!(
            error.contains("the compiler of the worker of good") && error.contains(expected),
            "{lie}: {error}"
        );
        // This one did not end by itself.
        assert!(lie != "late" || begun.elapsed() >= EXIT_TIMEOUT, "{:?}", begun.elapsed());
        if lie == "far" {
            let last = "the last byte: Ok(1), one more: Err(Os { code: 27, kind: FileTooLarge";
            // By the log's own way, which is not the answer's.
            eventually("it says what it could write", async || service.log().contains(last)).await;
        }
        assert_eq!(entries(&service), Vec::<PathBuf>::new(), "{lie}");
        assert!(master.lives(), "{lie}");
        assert_eq!(master.zombies(), 0, "{lie}");
        assert!(service.processes().iter().all(|one| !one.title.contains("compiler")), "{lie}");
    }
}

/// The smallest that the host calls, with much data.
fn large() -> Vec<u8> {
    // Nothing that packs well: an archive that unpacks to very much more is refused.
    let mut rng = fastrand::Rng::with_seed(1);
    let data: String = (0..LARGE).map(|_| rng.lowercase()).collect();
    let text = format!(
        r#"(component
    (core module $module
        (memory (export "memory") 1)
        (data "{data}")
        (func (export "run") (param i32 i32 i32 i32 i32) (result i32) (i32.const 0))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $core (instantiate $module))
    (alias core export $core "memory" (core memory $memory))
    (alias core export $core "realloc" (core func $realloc))
    (func $run (param "name" string) (param "payload" (option (list u8))) (result (result (error string)))
        (canon lift (core func $core "run") (memory $memory) (realloc $realloc)))
    (instance $task (export "run" (func $run)))
    (export "hatchery:cluster/task@0.2.0" (instance $task)))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn the_master_never_has_a_component_in_memory() {
    let service = Service::with_own_cache();
    let small = service.write(&good());
    service.start(&[&small]).await;
    let master = service.master().unwrap();
    let before = master.peak_memory();
    let folder = service.write(&App::new("large").agent_wasm(large(), ""));
    service.ok(&["deploy", &folder]).await;
    let compiled = master.peak_memory();
    service.ok(&["reload", "large"]).await;
    let cached = master.peak_memory();
    assert_eq!(service.log().matches("cached=true").count(), 1);
    let stored: u64 = entries(&service).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(stored > LARGE as u64, "{stored}");
    println!("{before} KiB, {compiled} KiB once it was compiled, {cached} KiB once it was found");
    assert!(cached < before + MORE_MEMORY, "{before} KiB, {compiled} KiB, {cached} KiB");
}
