use super::*;
use crate::{cli::status::style::Paint, cluster::Pid, master::Traffic};

fn process(pid: u64, state: State) -> ProcessStatus {
    ProcessStatus {
        pid: Pid(pid),
        os_pid: 31_000 + pid as u32,
        state,
        received: 120,
        sent: 64_000,
        dropped: 0,
        generation: 2,
        uptime_seconds: 754,
        memory_bytes: Some(33 << 20),
        cpu_seconds: Some(12.34),
        traffic: Traffic { requests: 1_234_567, in_flight: 3, ..Traffic::default() },
        sandbox: None,
    }
}

fn slot(role: Role, slot: u32, process: ProcessStatus) -> SlotStatus {
    let (failing, restarts, last_exit) = (false, 0, None);
    SlotStatus { role, slot, process: Some(process), failing, restarts, last_exit, others: vec![] }
}

/// An app on which all is well, mostly.
pub(in super::super) fn app(name: &str) -> AppStatus {
    let worker = SlotStatus {
        restarts: 2,
        last_exit: Some("signal 9 (SIGKILL)".to_owned()),
        ..slot(Role::Worker, 0, process(8, State::Ready))
    };
    AppStatus {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        address: Some(([127, 0, 0, 1], 7001).into()),
        dropped: 5,
        late_answers: 0,
        generation: 2,
        traffic: Traffic {
            requests: 2_469_134,
            in_flight: 6,
            errors: 7,
            traps: 1,
            p99_ms: Some(1.2345),
            ..Traffic::default()
        },
        generations: vec![GenerationStatus {
            generation: 2,
            version: "0.1.0".to_owned(),
            state: GenerationState::Serving,
            traffic: Traffic::default(),
            slots: vec![slot(Role::Agent, 0, process(7, State::Ready)), worker],
            broker: None,
        }],
        denied: vec![],
        denied_more: 0,
        limits: vec![],
    }
}

/// One that has been replaced.
pub(in super::super) fn broker() -> BrokerStatus {
    let process = HelperStatus {
        role: Helper::Broker,
        app: Some("cache".to_owned()),
        os_pid: 31_099,
        state: State::Ready,
        uptime_seconds: 61,
        memory_bytes: Some(12 << 20),
        cpu_seconds: Some(0.5),
        sandbox: None,
    };
    BrokerStatus {
        process: Some(process),
        failing: false,
        restarts: 1,
        last_exit: Some("signal 9 (SIGKILL)".to_owned()),
        asked: 1200,
        dialing: 2,
        connected: 1100,
    }
}

#[test]
fn brokers_have_rows() {
    let mut app = app("cache");
    app.generations[0].broker = Some(broker());
    let lines = |app: &AppStatus| -> Vec<String> {
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        render(std::slice::from_ref(app), Style::PLAIN).lines().map(squeezed).collect()
    };
    let row = "broker 2 - 31099 ready 1m01s 1200 2 - - - 12.0M 0.5s 1: signal 9 (SIGKILL)";
    assert_eq!(lines(&app).last().unwrap(), row);
    let gone = BrokerStatus { process: None, failing: true, ..broker() };
    app.generations[0].broker = Some(gone);
    let row = "broker 2 - - failing - 1200 2 - - - - - 1: signal 9 (SIGKILL)";
    assert_eq!(lines(&app).last().unwrap(), row);
}

/// With all that can be in one.
fn troubled() -> AppStatus {
    let mut app = app("origin");
    let serving = &mut app.generations[0];
    serving.slots[1].others = vec![process(3, State::Draining)];
    let waiting = SlotStatus {
        process: None,
        failing: true,
        restarts: 41,
        last_exit: Some(
            "the guest's start returned an error:\x1b[2J cannot reach http://127.0.0.1:7002/\nmore"
                .to_owned(),
        ),
        ..slot(Role::Worker, 1, process(0, State::Ready))
    };
    serving.slots.push(waiting);
    let (mut coming, mut draining) = (serving.clone(), serving.clone());
    (coming.generation, coming.state) = (3, GenerationState::Coming);
    coming.slots = vec![slot(Role::Worker, 0, process(12, State::Starting))];
    (draining.generation, draining.state) = (1, GenerationState::Draining);
    let unknown = ProcessStatus { memory_bytes: None, cpu_seconds: None, ..process(2, State::Draining) };
    draining.slots = vec![slot(Role::Worker, 0, unknown)];
    app.generations.extend([coming, draining]);
    app.address = None;
    app.traffic.p99_ms = None;
    app
}

#[test]
fn in_a_pipe() {
    let expected = "\
cache 0.1.0  generation 2  127.0.0.1:7001  requests 2.47M  in flight 6  errors 7  traps 1  p99 1.23ms  dropped 5
  PROCESS   GEN         PID  OS PID  STATE         UP   REQS  BUSY     IN  OUT  DROP    MEM    CPU  RESTARTS
  agent     2             7   31007  ready     12m34s  1.23M     3  64000  120     0  33.0M  12.3s  0
  worker 0  2             8   31008  ready     12m34s  1.23M     3  64000  120     0  33.0M  12.3s  2: signal 9 (SIGKILL)

origin 0.1.0  generation 2  no address  requests 2.47M  in flight 6  errors 7  traps 1  p99 -  dropped 5
  PROCESS   GEN         PID  OS PID  STATE         UP   REQS  BUSY     IN  OUT  DROP    MEM    CPU  RESTARTS
  agent     2             7   31007  ready     12m34s  1.23M     3  64000  120     0  33.0M  12.3s  0
  worker 0  2             8   31008  ready     12m34s  1.23M     3  64000  120     0  33.0M  12.3s  2: signal 9 (SIGKILL)
  worker 0  2             3   31003  draining  12m34s  1.23M     3  64000  120     0  33.0M  12.3s
  worker 1  2             -       -  failing        -      -     -      -    -     -      -      -  41: the guest's start returned an error:\\u{1b}[2J cannot reach http://127.0.0.1:7002/
  worker 0  3 coming     12   31012  starting  12m34s  1.23M     3  64000  120     0  33.0M  12.3s  0
  worker 0  1 draining    2   31002  draining  12m34s  1.23M     3  64000  120     0      -      -  0
";
    assert_eq!(render(&[app("cache"), troubled()], Style::PLAIN), expected);
    assert_eq!(render(&[], Style::PLAIN), "");
}

#[test]
fn on_a_terminal() {
    let style = Style { paint: Paint::Coloured, width: Some(120) };
    let expected = "\
\x1b[1morigin 0.1.0  generation 2  no address  requests 2.47M  in flight 6  errors 7  traps 1  p99 -  dropped 5\x1b[0m
  PROCESS   GEN         PID  OS PID  STATE         UP   REQS  BUSY     IN  OUT  DROP    MEM    CPU  RESTARTS
  agent     2             7   31007  ready     12m34s  1.23M     3  64000  120     0  33.0M  12.3s  0
  worker 0  2             8   31008  ready     12m34s  1.23M     3  64000  120     0  33.0M  12.3s  2: signal 9 (SIGKIL…
  worker 0  2             3   31003  draining  12m34s  1.23M     3  64000  120     0  33.0M  12.3s
\x1b[31m  worker 1  2             -       -  failing        -      -     -      -    -     -      -      -  41: the guest's sta…\x1b[0m
  worker 0  3 coming     12   31012  starting  12m34s  1.23M     3  64000  120     0  33.0M  12.3s  0
  worker 0  1 draining    2   31002  draining  12m34s  1.23M     3  64000  120     0      -      -  0
";
    assert_eq!(render(&[troubled()], style), expected);
}

#[test]
fn numbers_of_any_size_fit() {
    let mut app = app("cache");
    let slots = &mut app.generations[0].slots;
    let large = ProcessStatus {
        pid: Pid(123_456),
        os_pid: 4_194_304,
        state: State::Starting,
        received: 123_456_789_012,
        sent: u64::MAX,
        dropped: 99_999,
        uptime_seconds: 400 * 86_400,
        memory_bytes: Some(1023 << 20),
        cpu_seconds: Some(3e7),
        traffic: Traffic { requests: u64::MAX, in_flight: 1024, ..Traffic::default() },
        ..process(1, State::Ready)
    };
    slots.push(slot(Role::Worker, 127, large));
    let text = render(&[app], Style::PLAIN);
    // Its last word is above the last column, which may be cut.
    let heads = text.lines().find(|line| line.ends_with("RESTARTS")).unwrap();
    assert!(heads.chars().count() <= 120, "{text}");
}

#[test]
fn numbers_as_a_table() {
    for (number, expected) in [
        (0, "0"),
        (99_999, "99999"),
        (100_000, "100k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (1_234_567, "1.23M"),
        (12_345_678, "12.3M"),
        (u64::MAX, "18.4E"),
    ] {
        assert_eq!(count(number), expected);
    }
    for (seconds, expected) in
        [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (90_000, "1d01h")]
    {
        assert_eq!(time(seconds), expected);
    }
    for (ms, expected) in
        [(0.0351, "0.04ms"), (1.234, "1.23ms"), (56.78, "56.8ms"), (999.4, "999ms"), (30_000.0, "30.0s")]
    {
        assert_eq!(millis(ms), expected);
    }
    for (seconds, expected) in [(0.04, "0.0s"), (59.9, "59.9s"), (61.0, "1m01s")] {
        assert_eq!(cpu(seconds), expected);
    }
    assert_eq!(size(33 << 20), "33.0M");
}
