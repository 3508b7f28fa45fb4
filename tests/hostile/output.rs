//! What guests print: floods, bytes that are no text, lines that look like the master's own.

use super::{Watch, good};
use crate::support::{App, Cluster, Guest, get};

#[tokio::test]
async fn floods_on_both_streams_harm_nobody_and_no_line_passes_for_ours() {
    let bad = App::new("bad").worker(Guest::HostileP3, "workers = 2");
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    let addr = cluster.addr_of("bad");
    watch
        .through("a flood of output", async || {
            let (one, other) = tokio::join!(get(addr, "/print"), get(addr, "/print"));
            assert_eq!((one.status, other.status), (200, 200));
        })
        .await;
    assert_eq!(get(addr, "/hello").await.status, 200);
    watch.is_unchanged("a flood of output").await;
    let log = cluster.log.all();
    assert!(log.contains("worker/0 out | flood 1999"), "the flood has come");
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "what turns or colours text is shown, not obeyed");
    for line in log.lines().filter(|line| line.contains("master stopping")) {
        assert!(line.contains(" err | "), "it passes for the master's: {line}");
    }
}
