//! Archives by somebody who means harm, given to `hatchery deploy`: the master's storekeeper refuses each
//! with its own message, in little memory, and the home is as it was.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use super::bundle_hostile::{MEMORY, large, picture, table};
use crate::support::{App, Guest, Load, Service, marked};

/// The rest is refused by the same code for `inspect`, whose test has all.
const TRIED: [&str; 12] = [
    "the index has ../",
    "an entry has ../",
    "an entry is absolute",
    "a symbolic link",
    "a hard link",
    "a FIFO",
    "a character device",
    "setuid",
    "two of a name in the index",
    "names that differ in case only",
    "20,000 entries",
    "truncated",
];

#[tokio::test]
async fn hostile_archives_are_refused() {
    let service = Service::new();
    let app = service.write(&App::probe(Guest::ProbeP3, 2));
    service.start(&[&app]).await;
    let addr = service.addr_of("probe").await;
    let folder = tempfile::tempdir().unwrap();
    let mut tried = Vec::new();
    for (what, archive, expected) in table().into_iter().filter(|(what, ..)| TRIED.contains(what)) {
        let file = folder.path().join(what.replace('/', "_"));
        fs::write(&file, archive).unwrap();
        tried.push((file, expected));
    }
    assert_eq!(tried.len(), TRIED.len());
    tried.extend(large(folder.path()).into_iter().filter(|(file, _)| {
        let name = file.file_name().unwrap().to_string_lossy();
        name.starts_with("a file of 10 GB") || name.contains("10^6")
    }));
    assert_eq!(tried.len(), TRIED.len() + 3);

    let store = service.home().join("store");
    let (before, processes) = (picture(&store), service.processes());
    let load = Load::light(addr);
    load.goes_on(50).await;
    let peak = Peak::watch(service.mark());
    for (file, expected) in &tried {
        let error = service.fails(&["deploy", file.to_str().unwrap()]).await;
        assert!(error.contains(expected), "{}: {error}", file.display());
        assert!(!error.contains('\u{1b}') && !error.contains("panicked"), "{}: {error}", file.display());
        assert_eq!(picture(&store), before, "{}", file.display());
    }
    let peak = peak.end();
    println!("{} hostile archives; peak of a storekeeper: {} MiB", tried.len(), peak >> 20);
    assert!((1..MEMORY).contains(&peak), "{peak} bytes");
    load.goes_on(50).await;
    assert_eq!(load.end().await, [""; 0]);
    assert_eq!(service.processes(), processes);
    assert!(!Path::new("/tmp/x").exists());
    assert!(service.ok(&["store", "verify"]).await.contains("verified 1 bundles"));
}

/// The most memory that any storekeeper was seen with.
struct Peak {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Peak {
    fn watch(mark: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (is_over, mark) = (over.clone(), mark.to_owned());
        let thread = thread::spawn(move || {
            let mut most = 0;
            while !is_over.load(SeqCst) {
                for keeper in marked(&mark).iter().filter(|one| one.title.contains("storekeeper")) {
                    // It ends when it likes.
                    most = most.max(keeper.try_peak_memory().unwrap_or(0) << 10);
                }
                thread::sleep(Duration::from_millis(1));
            }
            most
        });
        Self { over, thread }
    }

    fn end(self) -> u64 {
        self.over.store(true, SeqCst);
        self.thread.join().unwrap()
    }
}
