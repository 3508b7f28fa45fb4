//! Compiling: what is the same is compiled once, whoever wants it.

use std::fs;

use crate::support::{App, Cluster, Guest, get};

/// Puts `file` where `other` is, as the same file under another name.
fn link(cluster: &Cluster, (app, file): (&str, &str), (other_app, other): (&str, &str)) {
    let [file, other] = [cluster.folder(app).join(file), cluster.folder(other_app).join(other)];
    fs::remove_file(&other).unwrap();
    fs::hard_link(file, other).unwrap();
}

#[tokio::test]
async fn one_file_is_compiled_once() {
    let both = App::new("both").worker(Guest::HelloP3, "workers = 1").agent(Guest::HelloP3, "");
    let third = App::new("third").worker(Guest::HelloP3, "workers = 1");
    let mut cluster = Cluster::prepare(&[both, third]);
    link(&cluster, ("both", "worker.wasm"), ("both", "agent.wasm"));
    link(&cluster, ("both", "worker.wasm"), ("third", "worker.wasm"));
    // Not the one that all tests have: nothing is in it.
    let cache = cluster.home().join("cache");
    fs::remove_file(&cache).unwrap();
    cluster.launch(&[]);
    cluster.ready().await;
    assert_eq!(cluster.log.count("compiling "), 1, "{:?}", cluster.log.with("compiling "));
    for (app, role) in [("both", "agent"), ("both", "worker"), ("third", "worker")] {
        let compiled = format!("compiled app=\"{app}\" role={role} ");
        assert_eq!(cluster.log.count(&compiled), 1, "{compiled}: {:?}", cluster.log.with("compiled"));
    }
    for app in ["both", "third"] {
        assert_eq!(get(cluster.addr_of(app), "/").await.status, 200);
    }
    let titles: Vec<_> = cluster.titles().into_keys().collect();
    let expected = ["agent both/0", "worker both/0", "worker third/0"];
    assert_eq!(titles, expected.map(|title| format!("hatchery: {title}")));
}
