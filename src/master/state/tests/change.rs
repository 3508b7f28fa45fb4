//! Recycling, scaling and retiring as tables.

use super::*;

fn recycle(pid: u64) -> Event {
    Event::Recycle { pid: Pid(pid), reason: "old".to_owned() }
}

#[test]
fn a_recycled_process_goes_when_the_new_one_is_ready() {
    let cases: &[(&str, &[Step])] = &[
        (
            "worker",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (101, recycle(3), ""),
                (200, ready(4), "cluster-ready 4, drain 3 in 20s, changed"),
                (201, recycle(3), ""),
                (300, exited(3, "exit code 0"), "changed"),
                (301, Event::Tick, ""),
            ],
        ),
        (
            "agent",
            &[
                (100, recycle(1), "replace 4=agent/0, changed"),
                (200, ready(4), "cluster-ready 4, drain 1 in 20s, changed"),
                (300, exited(1, "exit code 0"), "changed"),
            ],
        ),
        (
            "it does not drain",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (200, ready(4), "cluster-ready 4, drain 3 in 20s, changed"),
                (20_199, Event::Tick, ""),
                (20_200, Event::Tick, "kill 3"),
                (20_200, Event::Tick, ""),
                (20_201, exited(3, "signal 9 (SIGKILL)"), "changed"),
            ],
        ),
        (
            "it dies first: the new one is in its place already",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (150, exited(3, "signal 9 (SIGKILL)"), "changed"),
                (151, Event::Tick, ""),
                (200, ready(4), "cluster-ready 4, changed"),
            ],
        ),
        (
            "it breaks the protocol first",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (150, failed(3, "sent garbage"), "kill 3"),
                (160, ready(4), "cluster-ready 4, changed"),
                (170, exited(3, "signal 9 (SIGKILL)"), "changed"),
            ],
        ),
        (
            "the new one can't start: it is tried again with the back-off",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (150, failed(4, "no"), "kill 4"),
                (151, Event::Tick, ""),
                (152, exited(4, "exit code 1"), "changed"),
                (160, Event::Tick, "replace 5=worker/1, changed"),
                (161, exited(5, "exit code 1"), "changed"),
                (162, Event::Tick, ""),
                (181, Event::Tick, "replace 6=worker/1, changed"),
                (30_181, Event::Tick, "kill 6"),
                (30_182, exited(6, "signal 9 (SIGKILL)"), "changed"),
                (30_221, Event::Tick, "replace 7=worker/1, changed"),
                (30_300, ready(7), "cluster-ready 7, drain 3 in 20s, changed"),
            ],
        ),
        (
            "one after the other: the next waits for what is leaving",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (200, ready(4), "cluster-ready 4, drain 3 in 20s, changed"),
                (210, recycle(4), ""),
                (220, Event::Tick, ""),
                (300, exited(3, "exit code 0"), "changed, replace 5=worker/1"),
            ],
        ),
        (
            "soon after the other: with the back-off",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (110, ready(4), "cluster-ready 4, drain 3 in 20s, changed"),
                (111, exited(3, "exit code 0"), "changed"),
                (112, recycle(4), ""),
                (116, Event::Tick, ""),
                (122, Event::Tick, "replace 5=worker/1, changed"),
                (130, ready(5), "cluster-ready 5, drain 4 in 20s, changed"),
                (131, exited(4, "exit code 0"), "changed"),
                (12_000, recycle(5), "replace 6=worker/1, changed"),
            ],
        ),
        (
            "not one that starts, is gone or is told to go",
            &[
                (100, exited(3, "x"), "changed, replace 4=worker/1"),
                (101, recycle(4), ""),
                (102, recycle(3), ""),
                (103, recycle(99), ""),
                (200, Event::Stop, "stop 2, kill 4"),
                (201, recycle(2), ""),
            ],
        ),
        (
            "one that is to be replaced with the back-off, and is told to go first",
            &[
                (100, recycle(1), "replace 4=agent/0, changed"),
                (110, ready(4), "cluster-ready 4, drain 1 in 20s, changed"),
                (111, exited(1, "exit code 0"), "changed"),
                (112, recycle(4), ""),
                (113, Event::Retire, "drain 2 in 20s, drain 3 in 20s"),
                (200, Event::Tick, ""),
                (201, exited(2, "x"), "changed"),
                (202, exited(3, "x"), "changed, stop 4"),
                (203, Event::Tick, ""),
            ],
        ),
        (
            "stopped while a new one starts and another one leaves",
            &[
                (100, recycle(3), "replace 4=worker/1, changed"),
                (110, recycle(2), "replace 5=worker/0, changed"),
                (200, ready(4), "cluster-ready 4, drain 3 in 20s, changed"),
                (300, Event::Stop, "stop 2, kill 5, stop 4, stop 3"),
                (8_300, Event::Tick, "kill 2, kill 5, kill 4, kill 3"),
                (8_301, exited(2, "x"), "changed"),
                (8_301, exited(3, "x"), "changed"),
                (8_301, exited(4, "x"), "changed"),
                (8_301, exited(5, "x"), "changed, stop 1"),
                (8_302, exited(1, "x"), "changed, stopped"),
            ],
        ),
    ];
    for (name, steps) in cases {
        play(name, shape(true, 2), &after_running(steps));
    }
}

#[test]
fn a_recycle_is_a_restart_with_its_reason_and_no_failure() {
    let cluster = play(
        "worker",
        shape(true, 2),
        &after_running(&[
            (100, recycle(3), "replace 4=worker/1, changed"),
            (200, ready(4), "cluster-ready 4, drain 3 in 20s, changed"),
        ]),
    );
    let pids: Vec<_> = cluster.processes().iter().map(|p| (p.pid.0, p.slot, p.state)).collect();
    let expected =
        [(1, 0, State::Ready), (2, 0, State::Ready), (3, 1, State::Draining), (4, 1, State::Ready)];
    assert_eq!(pids, expected);
    let slot = cluster.slots().nth(2).expect("worker 1");
    assert_eq!((slot.restarts(), slot.last_exit(), slot.is_failing()), (1, Some("recycled: old"), false));
    assert_eq!(slot.process().map(|process| process.pid), Some(Pid(4)));
}

#[test]
fn a_recycle_that_keeps_failing_shows() {
    let begin = Instant::now();
    let mut cluster = Cluster::new(shape(false, 1), Pids::default());
    cluster.handle(Event::Start, begin);
    cluster.handle(ready(1), begin);
    let mut now = begin + Duration::from_secs(60);
    cluster.handle(recycle(1), now);
    for pid in 2..20 {
        assert!(cluster.processes().iter().any(|process| process.pid == Pid(pid)), "{pid}");
        cluster.handle(exited(pid, "boom"), now);
        let due = cluster.deadline().expect("it is tried again");
        assert!(due - now <= backoff::LONGEST);
        now = now.max(due);
        cluster.handle(Event::Tick, now);
    }
    let slot = cluster.slots().next().expect("one slot");
    assert!(slot.is_failing());
    assert_eq!(slot.last_exit(), Some("its replacement: boom"));
    assert_eq!(slot.process().map(|process| process.state), Some(State::Ready), "it goes on");
}

#[test]
fn scales_in_place() {
    let scale = |workers| Event::Scale { workers };
    let cases: &[(&str, &[Step], &[u64])] = &[
        (
            "up",
            &[
                (100, scale(4), "replace 4=worker/2, replace 5=worker/3, changed"),
                (101, scale(4), ""),
                (200, ready(5), "cluster-ready 5, changed"),
                (201, ready(4), "cluster-ready 4, changed"),
            ],
            &[1, 2, 3, 4, 5],
        ),
        (
            "down",
            &[
                (100, scale(1), "drain 3 in 20s, changed"),
                (200, exited(3, "exit code 0"), "changed"),
                (201, Event::Tick, ""),
            ],
            &[1, 2],
        ),
        (
            "down, and it does not go",
            &[
                (100, scale(1), "drain 3 in 20s, changed"),
                (20_100, Event::Tick, "kill 3"),
                (20_101, exited(3, "signal 9 (SIGKILL)"), "changed"),
            ],
            &[1, 2],
        ),
        (
            "down and up again, while it leaves",
            &[
                (100, scale(1), "drain 3 in 20s, changed"),
                (110, scale(2), "replace 4=worker/1, changed"),
                (120, ready(4), "cluster-ready 4, changed"),
                (200, exited(3, "exit code 0"), "changed"),
            ],
            &[1, 2, 4],
        ),
        (
            "down while one starts, and one waits for its restart",
            &[
                (100, scale(4), "replace 4=worker/2, replace 5=worker/3, changed"),
                (110, exited(4, "x"), "changed, replace 6=worker/2"),
                (111, exited(6, "x"), "changed"),
                (112, scale(2), "kill 5, changed"),
                (113, exited(5, "signal 9 (SIGKILL)"), "changed"),
                (60_000, Event::Tick, ""),
            ],
            &[1, 2, 3],
        ),
        (
            "a new one that fails backs off like any other",
            &[
                (100, scale(3), "replace 4=worker/2, changed"),
                (110, exited(4, "x"), "changed, replace 5=worker/2"),
                (111, exited(5, "x"), "changed"),
                (122, Event::Tick, "replace 6=worker/2, changed"),
            ],
            &[1, 2, 3, 6],
        ),
    ];
    for (name, steps, left) in cases {
        let cluster = play(name, shape(true, 2), &after_running(steps));
        let pids: Vec<_> = cluster.processes().iter().map(|process| process.pid.0).collect();
        assert_eq!(pids, *left, "{name}");
    }
    play("before it runs", shape(false, 1), &[(0, scale(3), ""), (1, Event::Start, "spawn 1=worker/0")]);
}

#[test]
fn retires_with_the_time_to_drain() {
    let cases: &[(&str, &[Step])] = &[
        (
            "in order",
            &[
                (100, Event::Retire, "drain 2 in 20s, drain 3 in 20s"),
                (101, Event::Retire, ""),
                (102, exited(3, "exit code 0"), "changed"),
                (103, exited(2, "exit code 0"), "changed, stop 1"),
                (104, exited(1, "exit code 0"), "changed, stopped"),
            ],
        ),
        (
            "stuck",
            &[
                (100, Event::Retire, "drain 2 in 20s, drain 3 in 20s"),
                (20_099, Event::Tick, ""),
                (20_100, Event::Tick, "kill 2, kill 3"),
                (20_101, exited(2, "x"), "changed"),
                (20_101, exited(3, "x"), "changed, stop 1"),
                (30_100, Event::Tick, "kill 1"),
                (30_101, exited(1, "x"), "changed, stopped"),
            ],
        ),
        (
            "stopped meanwhile: less time, and nobody lingers",
            &[
                (100, Event::Retire, "drain 2 in 20s, drain 3 in 20s"),
                (102, exited(3, "exit code 0"), "changed"),
                (200, Event::Stop, "stop 2"),
                (201, Event::Stop, ""),
                (8_200, Event::Tick, "kill 2"),
                (8_201, exited(2, "x"), "changed, stop 1"),
                (10_200, Event::Tick, "kill 1"),
                (10_201, exited(1, "x"), "changed, stopped"),
            ],
        ),
        (
            "what dies or starts meanwhile is not replaced",
            &[
                (50, exited(2, "x"), "changed, replace 4=worker/0"),
                (100, Event::Retire, "kill 4, drain 3 in 20s"),
                (101, exited(4, "x"), "changed"),
                (102, exited(3, "signal 9 (SIGKILL)"), "changed, stop 1"),
                (103, exited(1, "x"), "changed, stopped"),
            ],
        ),
    ];
    for (name, steps) in cases {
        let cluster = play(name, shape(true, 2), &after_running(steps));
        assert_eq!(cluster.deadline(), None, "{name}");
        assert_eq!(cluster.processes(), [], "{name}");
    }
}

#[test]
fn a_generation_is_on_its_processes() {
    let mut shape = shape(true, 1);
    shape.generation = 7;
    let mut cluster = Cluster::new(shape, Pids::default());
    cluster.handle(Event::Start, Instant::now());
    assert_eq!(cluster.processes()[0].generation, 7);
}
