//! A constant load of keep-alive connections that know their worker, to say exactly what a killed one
//! cost: each client on a thread of its own, with its state on a board.
//!
//! ```text
//!   open ──> GET /self: whose connection it is ──> GET /hello, over and over ──> closed ──> open
//! ```

use std::{
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{
    OsProcess, eventually,
    probe::Process,
    wire::{NO_200, Wire},
};

/// What every second client pauses between two requests: its connection is idle, mostly.
const THINKS: Duration = Duration::from_millis(20);

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(5);

/// So many clients of one connection each, half of them with a pause between two requests.
pub(crate) struct Clients {
    board: Arc<Board>,
    threads: Vec<JoinHandle<()>>,
}

/// A request that got no answer, or none that it should have got.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    /// Whose connection it was; None where that was not known yet, or there was none.
    pid: Option<u64>,
    pub(crate) begun: Instant,
    why: String,
}

impl Lost {
    /// Was its connection this worker's, and the end of that all that it got?
    pub(crate) fn went_with(&self, pid: u64) -> bool {
        self.pid == Some(pid) && !self.why.starts_with(NO_200)
    }
}

/// A worker that was hit, and what it had just then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// The cluster's pid.
    pub(crate) pid: u64,
    pub(crate) at: Instant,
    pub(crate) connections: usize,
    /// Requests that a client had begun on one of them, and to which it had no answer yet.
    pub(crate) in_flight: usize,
}

/// What clients do while a worker is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// Those of this worker begin nothing until it is gone, so that [`Hit::in_flight`] is all that can
    /// be lost with it. Those of others go on.
    Hold,
    /// All go on.
    GoOn,
}

struct Board {
    state: Mutex<State>,
    /// Something that a client waits for has changed.
    changed: Condvar,
}

struct State {
    places: Vec<Place>,
    /// Its clients begin nothing.
    held: Option<u64>,
    /// Connections of earlier rounds are opened anew.
    round: u64,
    is_over: bool,
    lost: Vec<Lost>,
    /// Who has closed a connection on which nothing was under way.
    closed: Vec<u64>,
    /// Who answered, and when, since the last hit.
    answers: Vec<(Instant, u64)>,
}

/// One client.
#[derive(Clone, Default)]
struct Place {
    /// Whose its connection is.
    worker: Option<(u64, u32)>,
    round: u64,
    /// A request is under way.
    asks: bool,
}

impl Clients {
    pub(crate) fn start(addr: SocketAddr, clients: usize) -> Self {
        let state = State {
            places: vec![Place::default(); clients],
            held: None,
            round: 0,
            is_over: false,
            lost: Vec::new(),
            closed: Vec::new(),
            answers: Vec::new(),
        };
        let board = Arc::new(Board { state: Mutex::new(state), changed: Condvar::new() });
        let threads = (0..clients).map(|number| {
            let client = Client { number, addr, board: board.clone() };
            thread::spawn(move || client.run())
        });
        Self { threads: threads.collect(), board }
    }

    /// Has all connections opened anew, in order, and waits until each of the slots 0..`workers` has its
    /// share: more than half of what would be even.
    pub(crate) async fn spread(&self, workers: u32) {
        let round = {
            let mut state = self.board.state();
            state.round += 1;
            state.round
        };
        eventually("connections to every worker", async || {
            let state = self.board.state();
            let known = state.places.iter().all(|place| place.worker.is_some() && place.round == round);
            let enough = state.places.len() / workers as usize / 2;
            known && (0..workers).all(|slot| state.of(slot).count() > enough)
        })
        .await;
    }

    /// Sends the worker in this slot a signal that ends it, sooner or later, and waits until it is gone
    /// and its clients know.
    pub(crate) async fn hit(
        &self,
        slot: u32,
        process: &OsProcess,
        signal: Signal,
        meanwhile: Meanwhile,
    ) -> Hit {
        let hit = {
            // While the board is locked nobody begins anything.
            let mut state = self.board.state();
            let of_it: Vec<&Place> = state.of(slot).collect();
            let (pid, _) = of_it[0].worker.expect("it is of this slot");
            let in_flight = of_it.iter().filter(|place| place.asks).count();
            let hit = Hit { pid, at: Instant::now(), connections: of_it.len(), in_flight };
            assert!(of_it.iter().all(|place| place.worker == Some((pid, slot))), "two in one slot");
            state.answers.clear();
            state.held = (meanwhile == Meanwhile::Hold).then_some(pid);
            process.signal(signal);
            hit
        };
        // When the master has reaped it, all of its sockets are closed, and the clients' ends know.
        eventually("its end", async || !process.exists()).await;
        self.board.state().held = None;
        self.board.changed.notify_all();
        eventually("the ends of its connections", async || {
            let state = self.board.state();
            state.places.iter().all(|place| place.worker.is_some_and(|(pid, _)| pid != hit.pid))
        })
        .await;
        hit
    }

    /// When others than the one that was hit last have answered since.
    pub(crate) fn answers_of_others(&self, hit: &Hit) -> Vec<Instant> {
        let state = self.board.state();
        state.answers.iter().filter(|(_, pid)| *pid != hit.pid).map(|(at, _)| *at).collect()
    }

    /// What was lost since this was last asked for.
    pub(crate) fn lost(&self) -> Vec<Lost> {
        std::mem::take(&mut self.board.state().lost)
    }

    /// Ends it. Gives what was lost since, and which workers have ever closed an idle connection.
    pub(crate) async fn end(self) -> (Vec<Lost>, Vec<u64>) {
        self.board.state().is_over = true;
        self.board.changed.notify_all();
        let threads = self.threads;
        tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| thread.join().unwrap()))
            .await
            .unwrap();
        let state = self.board.state();
        (state.lost.clone(), state.closed.clone())
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// The clients of the worker in this slot.
    fn of(&self, slot: u32) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(move |place| place.worker.is_some_and(|(_, its)| its == slot))
    }
}

struct Client {
    number: usize,
    addr: SocketAddr,
    board: Arc<Board>,
}

impl Client {
    fn run(&self) {
        let pause = (self.number % 2 == 1).then_some(THINKS);
        loop {
            let round = {
                let mut state = self.board.state();
                if state.is_over {
                    return;
                }
                let round = state.round;
                state.places[self.number] = Place { round, ..Place::default() };
                round
            };
            let begun = Instant::now();
            match self.open() {
                Ok((mut wire, worker)) => {
                    self.board.state().places[self.number].worker = Some((worker.pid, worker.slot));
                    while self.ask(&mut wire, worker.pid, round) {
                        pause.into_iter().for_each(thread::sleep);
                    }
                }
                Err(error) => {
                    let why = format!("connecting: {error}");
                    self.board.state().lost.push(Lost { pid: None, begun, why });
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn open(&self) -> std::io::Result<(Wire, Process)> {
        let mut wire = Wire::open(self.addr)?;
        let answer = wire.ask("/self")?;
        let json = answer.find('{').zip(answer.rfind('}')).map(|(first, last)| &answer[first..=last]);
        Ok((wire, serde_json::from_str(json.unwrap_or_default())?))
    }

    /// One request. False when another connection is needed, or none.
    fn ask(&self, wire: &mut Wire, pid: u64, round: u64) -> bool {
        let begun = {
            let held = |state: &mut State| state.held == Some(pid) && !state.is_over;
            let mut state = self.board.changed.wait_while(self.board.state(), held).unwrap();
            if state.is_over || state.round != round {
                return false;
            }
            state.places[self.number].asks = true;
            Instant::now()
        };
        // What is known to be closed is not written to.
        let answer = if wire.is_closed() { None } else { Some(wire.ask("/hello")) };
        let mut state = self.board.state();
        state.places[self.number].asks = false;
        match answer {
            None => state.closed.push(pid),
            Some(Ok(_)) => {
                state.answers.push((Instant::now(), pid));
                return true;
            }
            Some(Err(error)) => state.lost.push(Lost { pid: Some(pid), begun, why: error.to_string() }),
        }
        // The board says so at once: whoever was hit has this client no more.
        state.places[self.number].worker = None;
        false
    }
}
