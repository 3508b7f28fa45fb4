//! Checks as tables.

use super::*;

struct Rig {
    health: Health,
    begin: Instant,
    now: Instant,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Rig {
    fn new(workers: u32, successes: u32) -> Self {
        let health = manifest::Health {
            path: "/healthz".to_owned(),
            status: 200,
            timeout: ms(500),
            successes,
            within: ms(10_000),
        };
        let begin = Instant::now();
        let config = Config { app: "cache".to_owned(), workers, health };
        let mut rig = Self { health: Health::new(config, begin), begin, now: begin };
        for slot in 0..workers {
            let expected = format!("ask {}:{}", slot + 1, slot + 1);
            assert_eq!(rig.ready(u64::from(slot) + 1, slot), expected);
        }
        rig
    }

    /// `ask 1:7`: worker 1 with check 7.
    fn handle(&mut self, event: Event) -> String {
        let show = |action| match action {
            Action::Ask { pid, check } => format!("ask {pid}:{}", check.0),
            Action::Passed => "passed".to_owned(),
            Action::Failed { reason, pid } => {
                let reason = reason
                    .replace("of cache did not pass its health check within 10s (`health-within`)", "…");
                format!("failed by {:?}: {reason}", pid.map(|pid| pid.0))
            }
        };
        self.health.handle(event, self.now).into_iter().map(show).collect::<Vec<_>>().join(", ")
    }

    fn ready(&mut self, pid: u64, slot: u32) -> String {
        self.handle(Event::Ready { pid: Pid(pid), slot })
    }

    fn says(&mut self, pid: u64, check: u64, result: Result<u16, &str>) -> String {
        let result = result.map_err(str::to_owned);
        self.handle(Event::Checked { pid: Pid(pid), check: CheckId(check), result })
    }

    /// To its next deadline, and what it does then.
    fn next(&mut self) -> (u128, String) {
        self.now = self.health.deadline().expect("it is not over");
        let said = self.handle(Event::Tick);
        ((self.now - self.begin).as_millis(), said)
    }
}

#[test]
fn all_pass() {
    let mut rig = Rig::new(2, 1);
    assert_eq!(rig.says(2, 2, Ok(200)), "");
    assert_eq!(rig.says(1, 1, Ok(200)), "passed");
    assert_eq!((rig.health.deadline(), rig.says(1, 1, Ok(500))), (None, String::new()), "it is over");
}

#[test]
fn successes_are_in_a_row() {
    let mut rig = Rig::new(1, 3);
    for (check, result, then) in
        [(1, Ok(200), 250), (2, Ok(200), 500), (3, Ok(503), 750), (4, Ok(200), 1000), (5, Ok(200), 1250)]
    {
        assert_eq!(rig.says(1, check, result), "");
        assert_eq!(rig.next(), (then, format!("ask 1:{}", check + 1)));
    }
    assert_eq!(rig.says(1, 6, Ok(200)), "passed");
}

#[test]
fn what_is_not_asked_is_not_heard() {
    let mut rig = Rig::new(2, 1);
    for (pid, check, result) in [(1, 2, Ok(200)), (7, 1, Ok(200)), (2, 0, Err("no")), (1, u64::MAX, Ok(200))]
    {
        assert_eq!(rig.says(pid, check, result), "");
    }
    assert_eq!(rig.says(1, 1, Ok(200)), "");
    assert_eq!(rig.says(1, 1, Ok(500)), "", "it has passed");
    assert_eq!(rig.says(2, 2, Ok(200)), "passed");
}

#[test]
fn an_unanswered_one_has_failed() {
    let mut rig = Rig::new(1, 1);
    assert_eq!(rig.next(), (1500, String::new()));
    assert_eq!(rig.says(1, 1, Ok(200)), "", "too late");
    assert_eq!(rig.next(), (1750, "ask 1:2".to_owned()));
    assert_eq!(rig.says(1, 2, Ok(200)), "passed");
}

#[test]
fn who_comes_in_place_of_another_begins_anew() {
    let mut rig = Rig::new(2, 1);
    assert_eq!(rig.says(1, 1, Ok(200)), "");
    assert_eq!(rig.handle(Event::Gone(Pid(1))), "");
    assert_eq!(rig.says(2, 2, Ok(200)), "", "one is not there");
    assert_eq!(rig.ready(3, 0), "ask 3:3");
    assert_eq!(rig.says(3, 3, Ok(200)), "passed");
    // One more, while the one before it has not gone.
    let mut rig = Rig::new(1, 1);
    assert_eq!(rig.ready(2, 0), "ask 2:2");
    assert_eq!(rig.says(1, 1, Ok(200)), "", "the new one is one of them");
    assert_eq!(rig.says(2, 2, Ok(200)), "passed");
}

#[test]
fn reasons() {
    let expected = |rest: &str| (10_000, format!("failed by {rest}"));
    let mut rig = Rig::new(2, 1);
    rig.says(1, 1, Ok(200));
    rig.says(2, 2, Err("gave no answer within 500ms"));
    rig.now = rig.begin + ms(9_900);
    rig.handle(Event::Tick);
    rig.says(2, 3, Ok(404));
    assert_eq!(rig.next(), expected("Some(2): worker 1 …: GET /healthz: answered 404, not 200"));

    let mut rig = Rig::new(1, 50);
    for check in 1..=40 {
        rig.says(1, check, Ok(200));
        assert!(rig.next().1.starts_with(if check < 40 { "ask" } else { "failed" }), "{check}");
    }

    let mut rig = Rig::new(1, 2);
    rig.says(1, 1, Ok(200));
    rig.now = rig.begin + ms(9_999);
    assert_eq!(rig.handle(Event::Tick), "ask 1:2");
    assert_eq!(rig.next(), expected("Some(1): worker 0 …: GET /healthz: passed 1 of 2 in a row"));

    let mut rig = Rig::new(1, 1);
    rig.handle(Event::Gone(Pid(1)));
    assert_eq!(rig.next(), expected("None: worker 0 …: GET /healthz: it ended"));
    assert_eq!(rig.ready(2, 0), "", "it is over");
}

#[test]
fn a_long_reason_is_cut() {
    let mut rig = Rig::new(1, 1);
    rig.says(1, 1, Err(&"é".repeat(100_000)));
    rig.now = rig.begin + ms(10_000);
    assert!(rig.handle(Event::Tick).len() < 2 * MAX_REASON);
}
