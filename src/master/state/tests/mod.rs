//! The life of an app as tables: at a time, an event, and what comes of it.

mod change;

use std::time::{Duration, Instant};

use super::*;
use crate::cluster::State;

/// Milliseconds from the start, what happens, and the actions, one a word group.
type Step = (u64, Event, &'static str);

fn shape(agent: bool, workers: u32) -> Shape {
    Shape {
        app: "cache".to_owned(),
        generation: 1,
        agent,
        workers,
        start_timeout: Duration::from_secs(30),
        stop_timeout: Duration::from_secs(10),
        drain_timeout: Duration::from_secs(20),
        seed: 1,
    }
}

fn show(action: &Action) -> String {
    match action {
        Action::Spawn { pid, role, slot, replacement } => {
            format!("{} {pid}={role}/{slot}", if *replacement { "replace" } else { "spawn" })
        }
        Action::ClusterReady { pid } => format!("cluster-ready {pid}"),
        Action::ProcessesChanged => "changed".to_owned(),
        Action::Ready => "ready".to_owned(),
        Action::StopChild { pid, idle: Idle::Close, .. } => format!("stop {pid}"),
        Action::StopChild { pid, idle: Idle::Linger, within } => {
            format!("drain {pid} in {}s", within.as_secs())
        }
        Action::Kill { pid } => format!("kill {pid}"),
        Action::StartFailed(reason) => format!("failed: {reason}"),
        Action::Stopped => "stopped".to_owned(),
    }
}

/// Runs the steps; before an event that is later, the ticks that are due come first.
fn play(name: &str, shape: Shape, steps: &[Step]) -> Cluster {
    let begin = Instant::now();
    let mut cluster = Cluster::new(shape, Pids::default());
    for (at, event, expected) in steps {
        let now = begin + Duration::from_millis(*at);
        let actions: Vec<_> = cluster.handle(event.clone(), now).iter().map(show).collect();
        assert_eq!(actions.join(", "), *expected, "{name}: at {at}, {event:?}");
        if *event == Event::Tick {
            let next = cluster.deadline();
            assert!(next.is_none_or(|next| next > now), "{name}: at {at} it ticks again at once, for ever");
        }
    }
    cluster
}

fn ready(pid: u64) -> Event {
    Event::Ready(Pid(pid))
}

fn exited(pid: u64, reason: &str) -> Event {
    Event::Exited { pid: Pid(pid), reason: reason.to_owned() }
}

fn failed(pid: u64, reason: &str) -> Event {
    Event::Failed { pid: Pid(pid), reason: reason.to_owned() }
}

/// An agent (1) and two workers (2, 3), ready at 2 ms.
fn running() -> Vec<Step> {
    vec![
        (0, Event::Start, "spawn 1=agent/0"),
        (1, ready(1), "changed, spawn 2=worker/0, spawn 3=worker/1"),
        (2, ready(3), "changed"),
        (2, ready(2), "changed, cluster-ready 1, cluster-ready 2, cluster-ready 3, ready"),
    ]
}

fn after_running(steps: &[Step]) -> Vec<Step> {
    let mut all = running();
    all.extend_from_slice(steps);
    all
}

#[test]
fn starts_in_order() {
    play("agent first", shape(true, 2), &running());
    play("twice is once", shape(true, 2), &after_running(&[(3, ready(2), ""), (3, Event::Start, "")]));
    play(
        "no agent",
        shape(false, 1),
        &[(0, Event::Start, "spawn 1=worker/0"), (1, ready(1), "changed, cluster-ready 1, ready")],
    );
    play(
        "agent alone",
        shape(true, 0),
        &[(0, Event::Start, "spawn 1=agent/0"), (1, ready(1), "changed, cluster-ready 1, ready")],
    );
}

#[test]
fn any_failure_aborts_the_start() {
    let cases: &[(&str, &[Step])] = &[
        (
            "agent dies",
            &[
                (0, Event::Start, "spawn 1=agent/0"),
                (
                    5,
                    exited(1, "exit code 1"),
                    "failed: agent of cache exited before it was ready (exit code 1), stopped",
                ),
            ],
        ),
        (
            "agent hangs",
            &[
                (0, Event::Start, "spawn 1=agent/0"),
                (29_999, Event::Tick, ""),
                (
                    30_000,
                    Event::Tick,
                    "kill 1, failed: agent of cache was not ready within 30s; raise limits.start-timeout if it needs longer",
                ),
                (30_001, exited(1, "signal 9 (SIGKILL)"), "changed, stopped"),
            ],
        ),
        (
            "worker dies",
            &[
                (0, Event::Start, "spawn 1=agent/0"),
                (1, ready(1), "changed, spawn 2=worker/0, spawn 3=worker/1"),
                (2, ready(2), "changed"),
                (
                    3,
                    exited(3, "signal 11 (SIGSEGV)"),
                    "failed: worker 1 of cache exited before it was ready (signal 11 (SIGSEGV)), stop 2",
                ),
                (4, exited(2, "exit code 0"), "changed, stop 1"),
                (5, exited(1, "exit code 0"), "changed, stopped"),
            ],
        ),
        (
            "worker fails, another still starts",
            &[
                (0, Event::Start, "spawn 1=agent/0"),
                (1, ready(1), "changed, spawn 2=worker/0, spawn 3=worker/1"),
                (
                    2,
                    failed(2, "no such import"),
                    "kill 2, failed: worker 0 of cache cannot start: no such import, kill 3",
                ),
                (3, failed(2, "again"), "kill 2"),
                (3, exited(3, "signal 9 (SIGKILL)"), "changed"),
                (3, exited(2, "signal 9 (SIGKILL)"), "changed, stop 1"),
                (4, exited(1, "exit code 0"), "changed, stopped"),
            ],
        ),
        (
            "agent dies while workers start",
            &[
                (0, Event::Start, "spawn 1=agent/0"),
                (1, ready(1), "changed, spawn 2=worker/0, spawn 3=worker/1"),
                (
                    2,
                    exited(1, "exit code 3"),
                    "failed: agent of cache exited before the cluster was ready (exit code 3), kill 2, kill 3",
                ),
                (3, exited(2, "signal 9 (SIGKILL)"), "changed"),
                (3, exited(3, "signal 9 (SIGKILL)"), "changed, stopped"),
                (4, Event::Stop, ""),
                (4, Event::Kill, ""),
            ],
        ),
    ];
    for (name, steps) in cases {
        let cluster = play(name, shape(true, 2), steps);
        assert_eq!(cluster.deadline(), None, "{name}: nothing is left to wait for");
        assert_eq!(cluster.processes(), [], "{name}");
    }
}

#[test]
fn replaces_what_exits() {
    let cluster = play(
        "worker",
        shape(true, 2),
        &after_running(&[
            (20_000, exited(3, "signal 9 (SIGKILL)"), "changed, replace 4=worker/1"),
            (20_100, ready(4), "cluster-ready 4, changed"),
        ]),
    );
    let states: Vec<_> = cluster.processes().iter().map(|p| (p.pid.0, p.role, p.slot, p.state)).collect();
    let expected = [
        (1, Role::Agent, 0, State::Ready),
        (2, Role::Worker, 0, State::Ready),
        (4, Role::Worker, 1, State::Ready),
    ];
    assert_eq!(states, expected);
    play(
        "agent: nobody else is told again",
        shape(true, 2),
        &after_running(&[
            (20_000, exited(1, "exit code 110"), "changed, replace 4=agent/0"),
            (20_100, ready(4), "cluster-ready 4, changed"),
        ]),
    );
    play(
        "a replacement that hangs is killed, and the next one comes",
        shape(false, 1),
        &[
            (0, Event::Start, "spawn 1=worker/0"),
            (1, ready(1), "changed, cluster-ready 1, ready"),
            (100, exited(1, "x"), "changed, replace 2=worker/0"),
            (30_100, Event::Tick, "kill 2"),
            (30_100, Event::Tick, ""),
            (30_200, exited(2, "signal 9 (SIGKILL)"), "changed"),
            (30_211, Event::Tick, "replace 3=worker/0, changed"),
            (30_300, failed(3, "no"), "kill 3"),
            (30_301, exited(3, "exit code 1"), "changed"),
            (30_322, Event::Tick, "replace 4=worker/0, changed"),
            (30_400, ready(4), "cluster-ready 4, changed"),
        ],
    );
}

#[test]
fn quick_failures_back_off_and_never_stop() {
    let begin = Instant::now();
    let mut cluster = Cluster::new(shape(false, 1), Pids::default());
    cluster.handle(Event::Start, begin);
    cluster.handle(ready(1), begin);
    let mut now = begin + Duration::from_secs(1);
    let mut pid = 1;
    let mut waits = vec![];
    for _ in 0..100 {
        let mut actions = cluster.handle(exited(pid, "boom"), now);
        if let Some(due) = cluster.deadline().filter(|_| actions.len() == 1) {
            waits.push(due - now);
            now = due;
            actions = cluster.handle(Event::Tick, now);
        }
        let spawns = |action: &Action| matches!(action, Action::Spawn { replacement: true, .. });
        assert_eq!(actions.iter().filter(|action| spawns(action)).count(), 1, "{actions:?}");
        pid += 1;
    }
    let slot = cluster.slots().next().expect("one slot");
    assert!(slot.is_failing());
    assert_eq!((slot.last_exit(), slot.restarts()), (Some("boom"), 100));
    assert_eq!(waits.len(), 99, "only the first is at once");
    for (nth, wait) in waits.iter().enumerate() {
        let full = Duration::from_millis(10 * 2u64.pow(u32::try_from(nth.min(12)).expect("small")));
        let full = full.min(backoff::LONGEST);
        assert!(*wait <= full && *wait >= full / 2, "{nth}: {wait:?} of {full:?}");
    }
    cluster.handle(ready(pid), now);
    let settled = cluster.deadline().expect("it is watched until it is steady");
    cluster.handle(Event::Tick, settled);
    assert!(!cluster.slots().next().expect("one slot").is_failing());
    let actions = cluster.handle(exited(pid, "boom"), settled);
    assert_eq!(actions.len(), 2, "replaced at once again: {actions:?}");
}

#[test]
fn stops_workers_then_the_agent() {
    let cases: &[(&str, &[Step])] = &[
        (
            "in order",
            &[
                (100, Event::Stop, "stop 2, stop 3"),
                (101, Event::Stop, ""),
                (102, exited(3, "exit code 0"), "changed"),
                (103, exited(2, "exit code 0"), "changed, stop 1"),
                (104, exited(1, "exit code 0"), "changed, stopped"),
            ],
        ),
        (
            "all stuck",
            &[
                (100, Event::Stop, "stop 2, stop 3"),
                (8_099, Event::Tick, ""),
                (8_100, Event::Tick, "kill 2, kill 3"),
                (8_101, exited(2, "signal 9 (SIGKILL)"), "changed"),
                (8_101, exited(3, "signal 9 (SIGKILL)"), "changed, stop 1"),
                (10_100, Event::Tick, "kill 1"),
                (10_101, exited(1, "signal 9 (SIGKILL)"), "changed, stopped"),
            ],
        ),
        (
            "killed the second time",
            &[
                (100, Event::Stop, "stop 2, stop 3"),
                (200, Event::Kill, "kill 2, kill 3, kill 1"),
                (201, exited(1, "signal 9 (SIGKILL)"), "changed"),
                (201, exited(2, "signal 9 (SIGKILL)"), "changed"),
                (201, exited(3, "signal 9 (SIGKILL)"), "changed, stopped"),
            ],
        ),
        (
            "a replacement that is starting is not waited for",
            &[
                (50, exited(2, "x"), "changed, replace 4=worker/0"),
                (60, exited(3, "x"), "changed, replace 5=worker/1"),
                (70, ready(5), "cluster-ready 5, changed"),
                (80, exited(5, "x"), "changed"),
                (81, Event::Stop, "kill 4"),
                (95, Event::Tick, ""),
                (99, ready(4), ""),
                (100, exited(4, "signal 9 (SIGKILL)"), "changed, stop 1"),
                (101, exited(1, "exit code 0"), "changed, stopped"),
            ],
        ),
        (
            "killed while one waits for its restart",
            &[
                (50, exited(2, "x"), "changed, replace 4=worker/0"),
                (51, exited(4, "x"), "changed"),
                (52, Event::Kill, "kill 3, kill 1"),
                (53, exited(3, "signal 9 (SIGKILL)"), "changed"),
                (53, exited(1, "signal 9 (SIGKILL)"), "changed, stopped"),
            ],
        ),
    ];
    for (name, steps) in cases {
        let cluster = play(name, shape(true, 2), &after_running(steps));
        assert_eq!(cluster.deadline(), None, "{name}");
        assert_eq!(cluster.processes(), [], "{name}");
    }
    play("before anything", shape(true, 2), &[(0, Event::Stop, "stopped")]);
    play(
        "during the start",
        shape(true, 2),
        &[
            (0, Event::Start, "spawn 1=agent/0"),
            (1, Event::Stop, "kill 1"),
            (2, exited(1, "signal 9 (SIGKILL)"), "changed, stopped"),
        ],
    );
}

#[test]
fn the_reason_of_a_kill_is_kept() {
    let cluster = play(
        "garbage",
        shape(false, 1),
        &[
            (0, Event::Start, "spawn 1=worker/0"),
            (1, ready(1), "changed, cluster-ready 1, ready"),
            (2, failed(1, "sent garbage"), "kill 1"),
            (3, exited(1, "signal 9 (SIGKILL)"), "changed, replace 2=worker/0"),
            (4, exited(1, "late"), ""),
            (5, failed(1, "late"), ""),
        ],
    );
    let slot = cluster.slots().next().expect("one slot");
    assert_eq!(slot.last_exit(), Some("sent garbage (signal 9 (SIGKILL))"));
}
