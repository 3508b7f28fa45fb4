//! `hatchery dev`: a save is rebuilt and takes over; a mistake is said once, and what runs goes on.
//!
//! The build is a copy, so that what is timed is Hatchery's own part.

use std::{fs, path::PathBuf, time::Instant};

use crate::support::{App, Cluster, Guest, eventually, get};

/// What says which source is built: a build that fails unless `source` names a component.
const BUILD: &str = r#"workers = 1
[worker.build]
command = "sh build.sh"
output = "out/app.wasm""#;

const SCRIPT: &str = "set -e\nname=$(cat src/name)\necho \"compiling $name\"\n\
    [ -e \"$name.bin\" ] || { echo \"syntax error in src/name\"; exit 1; }\n\
    mkdir -p out\ncp \"$name.bin\" out/app.wasm\necho generated > src/generated\n";

struct Dev {
    cluster: Cluster,
    source: PathBuf,
}

impl Dev {
    fn launch(source: &str) -> Self {
        let app = App::new("dev")
            .unbuilt_worker(BUILD)
            .file("build.sh", SCRIPT)
            .file("src/name", source)
            .file("hello.bin", Guest::HelloP3.wasm())
            .file("probe.bin", Guest::ProbeP3.wasm());
        let mut cluster = Cluster::prepare_verb("dev", &[app]);
        let source = cluster.folder("dev").join("src/name");
        cluster.launch(&[]);
        Self { cluster, source }
    }

    fn save(&self, text: &str) -> Instant {
        fs::write(&self.source, text).unwrap();
        Instant::now()
    }

    async fn answers(&self, path: &str) -> String {
        let reply = get(self.cluster.addr(), path).await;
        format!("{} {}", reply.status, reply.text())
    }
}

#[tokio::test]
async fn a_save_takes_over_and_a_mistake_does_not() {
    let mut dev = Dev::launch("hello");
    dev.cluster.ready().await;
    assert_eq!(dev.answers("/hello").await, "200 Hello, world");

    let saved = dev.save("probe");
    eventually("the new version", async || dev.answers("/hello").await == "200 hello\n").await;
    println!("from a save to the new version's answer: {:?}", saved.elapsed());
    dev.cluster.log.wait_for("src/name").await;
    dev.cluster.log.wait_for("reloaded app=dev generation=2").await;

    dev.save("no-such");
    dev.cluster.log.wait_for("nothing was reloaded").await;
    assert_eq!(dev.answers("/hello").await, "200 hello\n");

    dev.save("hello");
    eventually("the mended version", async || dev.answers("/hello").await == "200 Hello, world").await;
    dev.cluster.log.wait_for("reloaded app=dev generation=3").await;
    // Once each: what the tool said, and what came of it.
    assert_eq!(dev.cluster.log.count("syntax error in src/name"), 1, "{}", dev.cluster.log.all());
    assert_eq!(dev.cluster.log.count("error: building dev worker: `sh build.sh` failed (exit code 1)"), 1);
    // The file that the build itself wrote was a change at most once, and none that is worth a reload.
    assert_eq!(dev.cluster.log.count("reloaded app=dev"), 2, "{}", dev.cluster.log.all());
    assert!(dev.cluster.log.count("src/generated") <= 1);
}

#[tokio::test]
async fn what_is_wrong_at_first_can_be_mended() {
    let mut dev = Dev::launch("no-such");
    dev.cluster.log.wait_for("error: building dev worker").await;
    assert_eq!(dev.cluster.stdout.all(), "");
    dev.save("hello");
    dev.cluster.ready().await;
    assert_eq!(dev.answers("/").await, "200 Hello, world");
    // A manifest with a mistake changes nothing either.
    let manifest = dev.cluster.folder("dev").join("hatchery.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("workers = 1", "wrokers = 1")).unwrap();
    dev.cluster.log.wait_for("unknown key `wrokers`").await;
    assert_eq!(dev.answers("/").await, "200 Hello, world");
    fs::write(&manifest, text.replace("workers = 1", "workers = 2")).unwrap();
    eventually("two workers", async || dev.cluster.processes_of("worker dev/").len() == 2).await;
}
