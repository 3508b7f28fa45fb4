//! Messages: floods, and those for another tenant. Sizes, actions, stamped senders and slow receivers of one
//! app alone are in `e2e::messenger`.

use serde_json::json;

use super::{Watch, good};
use crate::support::{App, Cluster, Guest, Probe, eventually};

#[tokio::test]
async fn floods_of_messages_harm_nobody_else() {
    let bad = App::new("bad").worker(Guest::ProbeP3, "workers = 4").agent(Guest::ProbeP3, "");
    let cluster = Cluster::start(&[bad, good()]).await;
    let watch = Watch::of(&cluster);
    let mut workers = Probe::each(cluster.addr_of("bad"), 4).await;
    let [one, two, three, four] = workers.as_mut_slice() else { unreachable!() };
    let cases = [
        ("broadcast", "small", 0, 5000),
        ("broadcast", "large", 1 << 20, 8),
        ("random", "sized", 4096, 2000),
    ];
    for (to, action, size, n) in cases {
        let path = format!("/send?to={to}&action={action}&n={n}&size={size}");
        watch
            .through(&format!("messages, {action}"), async || {
                tokio::join!(
                    one.post::<crate::support::Sent>(&path, ""),
                    two.post::<crate::support::Sent>(&path, ""),
                    three.post::<crate::support::Sent>(&path, ""),
                    four.post::<crate::support::Sent>(&path, ""),
                );
            })
            .await;
    }
    // What is left under way is delivered, and they are themselves again.
    eventually("the agent has room for questions", async || {
        one.ask("agent", "echo", "now").await["ok"].is_string()
    })
    .await;
    eventually("a message gets through", async || {
        one.send("agent", "after", 1).await;
        !one.agent_messages("after").await.is_empty()
    })
    .await;
    watch.is_unchanged("floods of messages").await;
}

/// Whoever is there for others is nobody for this one: not even how it fails tells one from the other.
#[tokio::test]
async fn another_tenants_pid_is_nobodys() {
    for guest in Guest::PROBES {
        let one = |name: &str| App::new(name).worker(guest, "workers = 1").agent(guest, "");
        let cluster = Cluster::start(&[one("bad"), one("other")]).await;
        let mut bad = Probe::open(cluster.addr_of("bad")).await;
        let mut other = Probe::open(cluster.addr_of("other")).await;
        let theirs = [other.pid, other.agent_pid().await];
        let dropped = cluster.log.count("dropped");
        // Asked and sent in one order and then in the other, so that nothing hangs on which is first.
        let nobody = [999_999, u64::MAX];
        for pid in theirs.into_iter().chain(nobody).chain(theirs) {
            let pid = pid.to_string();
            assert_eq!(bad.send(&pid, "spy", 1).await.errors, ["no-such-process"], "{guest:?} {pid}");
            assert_eq!(
                bad.ask(&pid, "echo", "spy").await,
                json!({ "error": "no-such-process" }),
                "{guest:?} {pid}"
            );
            assert_eq!(bad.send_sized(&pid, "spy", 1 << 20).await.errors, ["no-such-process"]);
            assert_eq!(bad.send_sized(&pid, "spy", (1 << 20) + 1).await.errors, ["too-large(1048576)"]);
            assert!(bad.send(&pid, "hatchery.spy", 1).await.errors[0].starts_with("invalid-action("));
        }
        // Nor does it see them.
        let seen: Vec<u64> = bad.processes().await.iter().map(|process| process.pid).collect();
        assert!(theirs.iter().all(|pid| !seen.contains(pid)), "{seen:?} {theirs:?}");
        bad.send("broadcast", "spy", 10).await;
        eventually("its own get it", async || bad.messages("spy").await.len() == 10).await;
        assert!(other.messages("spy").await.is_empty() && other.agent_messages("spy").await.is_empty());
        assert_eq!(cluster.log.count("dropped"), dropped);
    }
}

/// Of 1 MB, too, which the guest's own host refuses; what gets past it is `protocol`'s.
#[tokio::test]
async fn an_action_of_a_megabyte_is_refused() {
    let cluster = Cluster::start(&[
        App::new("bad").worker(Guest::ProbeP3, "workers = 1").agent(Guest::ProbeP3, ""),
        good(),
    ])
    .await;
    let watch = Watch::of(&cluster);
    let mut bad = Probe::open(cluster.addr_of("bad")).await;
    let action = "a".repeat(1_000_000);
    for action in [action.as_str(), "", "hatchery.stop", "\0", "a\u{9f}"] {
        let what = json!({ "to": "broadcast", "action": action }).to_string();
        let answer = bad.ask("agent", "send", &what).await;
        let text = answer["ok"].as_str().unwrap_or_default();
        assert!(text.contains("invalid-action("), "{action:.40}: {answer:.200}");
    }
    watch.is_unchanged("actions that are none").await;
}
