//! A storekeeper that was taken over by the archive that it reads: it lies about what it has found, or says
//! nothing and stays (`storekeeper::liar`). No app gets by it what is another's, and nobody waits for it for long.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::good;
use crate::support::{App, Guest, Service, get};

/// From the end of its socket to its end by force, and a busy machine.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_it_says_is_held_against_what_was_asked_for() {
    let service = Service::new();
    let lie = service.file("lie", "");
    let good = service.write(&good());
    let bad = service.write(&App::new("bad").worker(Guest::ProbeP2, "workers = 1"));
    let secret = service.file("secret", "of the host");
    let done = service.command(&["start", &good]).env("HATCHERY_TEST_LIE", &lie).output().await.unwrap();
    assert!(done.status.success(), "{done:?}");
    let (addr, before) = (service.addr_of("good").await, service.processes());
    let host = service.folder().join("host");
    fs::create_dir(&host).unwrap();
    let others = service.home().join("apps/good/data");
    fs::create_dir_all(&others).unwrap();
    let home = service.home().canonicalize().unwrap();
    let tree = format!("{}/store/bundles", home.display());
    for (told, expected) in [
        ("name good".to_owned(), "found the app \"good\", and bad was asked for"),
        (format!("write {}", host.display()), "is not inside of"),
        (format!("write {}", others.display()), "is not inside of"),
        (format!("read {}", host.display()), "is not inside of"),
        (format!("read {tree}"), "is not inside of"),
        (format!("component {secret}"), "is not inside of"),
    ] {
        fs::write(&lie, &told).unwrap();
        let begun = Instant::now();
        let error = service.fails(&["deploy", &bad]).await;
        println!("{told}: refused after {:?}", begun.elapsed());
        assert!(begun.elapsed() < SOON && error.contains(expected), "{told}: {error}");
        assert_eq!(service.processes(), before, "{told}");
        assert_eq!(get(addr, "/hello").await.status, 200, "{told}");
    }
    // A look that gets no answer gives the app's turn back, and so does the store.
    fs::write(&lie, "silence").unwrap();
    for verb in [&["reload", "good"][..], &["store", "list"], &["store", "prune"]] {
        let begun = Instant::now();
        let error = service.fails(verb).await;
        println!("{verb:?} of a silent one: given up after {:?}", begun.elapsed());
        assert!(begun.elapsed() < SOON, "{verb:?}: {:?}", begun.elapsed());
        assert!(error.contains("ended without an answer (signal 9 (SIGKILL))"), "{verb:?}: {error}");
    }
    assert_eq!(service.processes(), before);
    fs::write(&lie, "").unwrap();
    service.ok(&["reload", "good"]).await;
    service.ok(&["store", "prune"]).await;
    service.ok(&["deploy", &bad]).await;
}

#[tokio::test]
async fn what_was_changed_in_the_store_does_not_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let service = Service::new();
    let folder = service.write(&good());
    service.start(&[&folder]).await;
    let bundles = service.home().join("store/bundles");
    let bundle = fs::read_dir(bundles).unwrap().next().unwrap().unwrap().path();
    let file = bundle.join("tree/worker.wasm");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, Guest::ProbeP2.wasm()).unwrap();
    let error = service.fails(&["reload", "good"]).await;
    assert!(error.contains("is damaged: its worker.wasm has the digest sha256:"), "{error}");
    assert_eq!(get(service.addr_of("good").await, "/hello").await.status, 200);
}
