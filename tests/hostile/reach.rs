//! What a guest can see of the machine. Its environment and what its folders' symlinks lead to are in
//! `e2e::capabilities`, and so is that nobody is reachable by default.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use serde_json::{Value, json};

use super::{Watch, good};
use crate::support::{App, Cluster, Guest, get, put};

#[tokio::test]
async fn a_guest_sees_its_folders_and_nothing_else() {
    for guest in Guest::PROBES {
        let keys = "workers = 1\nfolders = [{ source = \"data\", destination = \"/data\" }]";
        let bad = App::new("bad").worker(guest, keys).file("data/a.txt", "text of a");
        let cluster = Cluster::start(&[bad, good()]).await;
        let (addr, good) = (cluster.addr_of("bad"), cluster.addr_of("good"));
        let ask = async |what: &str, path: &str| {
            get(addr, &format!("/fs/{what}?path={path}")).await.json::<Value>()
        };
        assert_eq!(ask("list", "/data").await, json!({ "entries": ["a.txt"] }));
        let socket = cluster.home().join("hatchery.sock").display().to_string();
        let lists =
            ["/", ".", "..", "/data/..", "/proc", "/proc/self/fd", "/dev/fd", "/sys", "/tmp", "/home"];
        for path in lists {
            let got = ask("list", path).await;
            assert!(got["error"].is_string(), "{guest:?} lists {path}: {got}");
        }
        let reads = [
            "/etc/passwd",
            "/proc/self/environ",
            "/proc/self/maps",
            "/proc/self/fd/3",
            "/dev/fd/3",
            "/dev/mem",
            "/data/../../../../etc/passwd",
            "/data//../etc/passwd",
            "/data/./../../etc/passwd",
            "data/../../etc/passwd",
            "/data/a.txt/../../../etc/passwd",
            "",
            &socket,
            "/data%00/a.txt",
        ];
        for path in reads {
            let got = ask("read", path).await;
            assert!(got["error"].is_string(), "{guest:?} reads {path:?}: {got}");
        }
        // Neither the other app nor anything else of this machine, by whatever name.
        for url in [
            format!("http://{good}/hello"),
            format!("http://localhost:{}/hello", good.port()),
            format!("http://[::ffff:127.0.0.1]:{}/hello", good.port()),
            format!("http://2130706433:{}/hello", good.port()),
            format!("http://0.0.0.0:{}/hello", good.port()),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
        ] {
            let got: Value = get(addr, &format!("/fetch?url={url}")).await.json();
            assert!(got["error"].is_string(), "{guest:?} reaches {url}: {got}");
        }
        assert_eq!(get(addr, "/hello").await.status, 200);
    }
}

/// A name that is a file, a folder and a way out in turn, thousands of times a second, while the guest opens
/// what is below it.
#[tokio::test]
async fn a_symlink_that_is_swapped_leads_nowhere() {
    let keys = "workers = 1\nfolders = [{ source = \"own\", destination = \"/own\", writable = true }]";
    let bad = App::new("bad")
        .worker(Guest::ProbeP3, keys)
        .file("own/real/secret.txt", "harmless")
        .file("outside/secret.txt", "secret");
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    let folder = cluster.folder("bad");
    let stop = Arc::new(AtomicBool::new(false));
    let is_on = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (own, outside) = (folder.join("own"), folder.join("outside"));
        let (stop, is_on) = (stop.clone(), is_on.clone());
        std::thread::spawn(move || {
            let (way, next) = (own.join("way"), own.join("next"));
            let mut swaps = 0_u64;
            while !stop.load(SeqCst) {
                if !is_on.load(SeqCst) {
                    std::thread::park();
                    continue;
                }
                let to =
                    if swaps.is_multiple_of(2) { outside.as_path() } else { std::path::Path::new("real") };
                let _ = fs::remove_file(&next);
                symlink(to, &next).unwrap();
                fs::rename(&next, &way).unwrap();
                swaps += 1;
            }
            swaps
        })
    };
    let addr = cluster.addr_of("bad");
    let (mut inside, mut refused) = (0, 0);
    watch
        .through("a symlink that is swapped", async || {
            is_on.store(true, SeqCst);
            swapping.thread().unpark();
            for _ in 0..50 {
                let got: Value = get(addr, "/fs/read?path=/own/way/secret.txt").await.json();
                match got["text"].as_str() {
                    Some(text) => {
                        assert_eq!(text, "harmless");
                        inside += 1;
                    }
                    None => refused += 1,
                }
                let _: Value = put(addr, "/fs/write?path=/own/way/new.txt", "new").await.json();
            }
            is_on.store(false, SeqCst);
        })
        .await;
    stop.store(true, SeqCst);
    swapping.thread().unpark();
    let swaps = swapping.join().unwrap();
    println!("{swaps} swaps: {inside} reads inside, {refused} refused");
    assert!(inside > 0 && refused > 0 && swaps > 1000, "it was no race");
    assert!(!folder.join("outside/new.txt").exists());
    assert_eq!(fs::read_to_string(folder.join("outside/secret.txt")).unwrap(), "secret");
    watch.is_unchanged("a race").await;
}
