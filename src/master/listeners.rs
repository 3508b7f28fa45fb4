//! An app's listener, where the master accepts: takes connections and hands them to workers.
//!
//! ```text
//!   kernel's backlog -> accept, while not too many are held -> Balance -> Handoff -> a worker
//! ```
//!
//! A task of its own, so that messages and connections do not wait for each other; `app` tells it
//! which workers there are. It never reads a byte of a connection.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{TcpListener, TcpStream},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use super::{
    balance::{Balance, Policy, Share, Step},
    handoff::{Answer, Handoff},
    reason::broke,
    turns,
};
use crate::{
    cluster::Pid,
    ipc::handoff::{ConnectionId, FromWorker, ToWorker},
    sys::{acceptor::Acceptor, fd_socket::FdSocket},
};

/// The most connections that the master holds for one app, where it may have enough fds; more wait
/// in the kernel.
pub(crate) const MAX_HELD: usize = 1024;

/// The most connections that are accepted before answers are looked at again.
const ACCEPT_BATCH: usize = 64;

/// The most connections that are still accepted when the app stops: what a backlog holds.
const LAST_ACCEPTS: usize = 4096;

/// How long accepting rests when the system refuses, for instance for want of fds.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often that is said.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Answers that wait for the listener.
const MAX_ANSWERS: usize = 256;

/// What the listener is told.
pub(crate) enum Command {
    /// A worker was spawned, with this socket.
    Add(Pid, FdSocket),
    /// A worker of this generation takes connections.
    Ready(Pid, u64),
    /// A worker takes no new ones.
    Draining(Pid),
    /// A worker is gone.
    Gone(Pid),
    /// The app is ready: accept.
    Open,
    /// The app stops: take what the kernel has accepted, hand it out, close, tell the workers, and
    /// say when that is done, at the latest then.
    Close(Instant, oneshot::Sender<()>),
    /// A canary gets this share; none: there is none any more.
    Share(Option<Share>),
}

/// A worker that broke the handoff's protocol.
pub(crate) type Breach = (Pid, String);

/// What the listener is made of.
pub(crate) struct Options {
    /// For logs.
    pub(crate) app: String,
    /// How workers are chosen.
    pub(crate) policy: Policy,
    /// Bound, nonblocking.
    pub(crate) listener: TcpListener,
    /// The most connections that are held, at most [`MAX_HELD`].
    pub(crate) max_held: usize,
    /// The app's share of the time for accepting.
    pub(crate) share: turns::Share,
}

/// Runs until the other end of `commands` is dropped.
pub(crate) async fn run(
    options: Options,
    mut commands: mpsc::UnboundedReceiver<Command>,
    breaches: mpsc::UnboundedSender<Breach>,
) -> io::Result<()> {
    let (answers_to, mut answers) = mpsc::channel(MAX_ANSWERS);
    let mut door = Door::new(options, answers_to, breaches)?;
    loop {
        let wake = door.deadline();
        tokio::select! {
            biased;
            // Before answers, which never end where workers see to that.
            command = commands.recv() => match command {
                Some(command) => {
                    if matches!(command, Command::Gone(_)) {
                        // What it took is not to be given to another one.
                        while let Ok(answer) = answers.try_recv() {
                            door.heard(answer);
                        }
                    }
                    door.command(command);
                }
                None => return Ok(()),
            },
            Some(answer) = answers.recv() => door.heard(answer),
            () = async { if let Some(at) = wake { sleep_until(at.into()).await } }, if wake.is_some() => {}
            ready = async {
                door.share.turn().await;
                door.readable().await
            }, if door.accepts() => match ready {
                Ok(()) => {},
                Err(error) => door.pause(&error),
            },
        }
        door.turn();
    }
}

struct Door {
    app: String,
    /// `None` once it is closed.
    listener: Option<Acceptor>,
    state: Gate,
    balance: Balance,
    held: HashMap<ConnectionId, TcpStream>,
    max_held: usize,
    workers: BTreeMap<Pid, Handoff>,
    answers: mpsc::Sender<Answer>,
    breaches: mpsc::UnboundedSender<Breach>,
    last: u64,
    paused_until: Option<Instant>,
    warned_at: Option<Instant>,
    /// To be carried out.
    steps: Vec<Step>,
    /// Of the time for accepting.
    share: turns::Share,
}

enum Gate {
    Shut,
    Open,
    /// What is held is handed out, until then.
    Closing(Instant, oneshot::Sender<()>),
    Closed,
}

impl Door {
    fn new(
        options: Options,
        answers: mpsc::Sender<Answer>,
        breaches: mpsc::UnboundedSender<Breach>,
    ) -> io::Result<Self> {
        let Options { app, policy, listener, max_held, share } = options;
        let listener = Acceptor::new(listener)?;
        Ok(Self {
            app,
            listener: Some(listener),
            state: Gate::Shut,
            balance: Balance::new(policy),
            held: HashMap::new(),
            max_held: max_held.min(MAX_HELD),
            workers: BTreeMap::new(),
            answers,
            breaches,
            last: 0,
            paused_until: None,
            warned_at: None,
            steps: vec![],
            share,
        })
    }

    fn deadline(&self) -> Option<Instant> {
        let closing = match &self.state {
            Gate::Closing(by, _) => Some(*by),
            Gate::Shut | Gate::Open | Gate::Closed => None,
        };
        [self.balance.deadline(), self.paused_until, closing].into_iter().flatten().min()
    }

    fn accepts(&self) -> bool {
        matches!(self.state, Gate::Open)
            && self.paused_until.is_none()
            && self.balance.has_workers()
            && self.held.len() < self.max_held
    }

    async fn readable(&self) -> io::Result<()> {
        match &self.listener {
            Some(listener) => listener.readable().await,
            None => std::future::pending().await,
        }
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Add(pid, socket) => {
                self.workers.insert(pid, Handoff::new(pid, socket, self.answers.clone(), self.share.clone()));
            }
            Command::Ready(pid, generation) => {
                self.balance.ready(pid, generation, now, &mut self.steps);
            }
            Command::Draining(pid) => {
                self.balance.draining(pid, now, &mut self.steps);
                if !matches!(self.state, Gate::Closed) {
                    self.say_closing(pid);
                }
            }
            Command::Gone(pid) => {
                let words = self.workers.remove(&pid).map(|worker| worker.last_words());
                for word in words.unwrap_or_default() {
                    self.answered((pid, Ok(word)));
                }
                self.balance.gone(pid, now, &mut self.steps);
            }
            Command::Open => self.state = Gate::Open,
            Command::Close(by, done) => self.close(by, done),
            Command::Share(share) => self.balance.share(share),
        }
    }

    fn say_closing(&self, pid: Pid) {
        if let Some(worker) = self.workers.get(&pid) {
            // A worker that can't be told is stopped on its control socket as well.
            let _ = worker.send(ToWorker::Closing, None::<&TcpStream>);
        }
    }

    /// Takes what the kernel has accepted, and no more.
    fn close(&mut self, by: Instant, done: oneshot::Sender<()>) {
        if matches!(self.state, Gate::Open) && self.balance.has_workers() {
            self.accept_rest();
        }
        self.listener = None;
        self.state = Gate::Closing(by, done);
    }

    /// A worker said something. One that broke the protocol is heard no more.
    fn heard(&mut self, answer: Answer) {
        if self.workers.contains_key(&answer.0) {
            self.answered(answer);
        }
    }

    fn answered(&mut self, (pid, answer): Answer) {
        let result = match answer {
            Ok(answer) => self
                .balance
                .answered(pid, answer, Instant::now(), &mut self.steps)
                .map_err(|violation| violation.0.to_owned()),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = result {
            self.workers.remove(&pid);
            let _ = self.breaches.send((pid, broke(reason)));
        }
    }

    /// What is to be done after whatever happened.
    fn turn(&mut self) {
        let now = Instant::now();
        self.paused_until = self.paused_until.filter(|until| *until > now);
        if self.accepts() {
            self.accept();
        }
        if self.balance.deadline().is_some_and(|at| at <= now) {
            self.balance.tick(now, &mut self.steps);
        }
        self.carry_out();
        self.finish_closing(now);
    }

    fn finish_closing(&mut self, now: Instant) {
        let is_done = match &self.state {
            Gate::Closing(by, _) => self.held.is_empty() || *by <= now || !self.balance.has_workers(),
            Gate::Shut | Gate::Open | Gate::Closed => false,
        };
        if !is_done {
            return;
        }
        if !self.held.is_empty() {
            tracing::warn!(app = self.app, connections = self.held.len(), "closed without being served");
        }
        for pid in self.workers.keys() {
            self.say_closing(*pid);
        }
        self.held.clear();
        if let Gate::Closing(_, done) = std::mem::replace(&mut self.state, Gate::Closed) {
            let _ = done.send(());
        }
    }

    /// Accepts until the backlog is empty, or enough are held, or it is the answers' turn, or another app's.
    fn accept(&mut self) {
        for _ in 0..ACCEPT_BATCH {
            if !self.accepts() || !self.share.may() {
                return;
            }
            let Some(listener) = &self.listener else { return };
            self.share.spend(1);
            // This remembers an empty backlog, so that the loop sleeps until there is another one.
            let accepted = listener.try_accept();
            if self.took(accepted).is_break() {
                return;
            }
        }
    }

    /// Accepts what the kernel holds, at the end.
    fn accept_rest(&mut self) {
        for _ in 0..LAST_ACCEPTS {
            let Some(listener) = &self.listener else { return };
            let accepted = listener.accept_now();
            if self.took(accepted).is_break() {
                return;
            }
        }
    }

    fn took(&mut self, accepted: io::Result<TcpStream>) -> ControlFlow<()> {
        match accepted {
            Ok(connection) => {
                self.last += 1;
                let id = ConnectionId(self.last);
                self.held.insert(id, connection);
                self.balance.arrived(id, Instant::now(), &mut self.steps);
                ControlFlow::Continue(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => ControlFlow::Break(()),
                // The client's affair.
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted => ControlFlow::Continue(()),
                _ => {
                    self.pause(&error);
                    ControlFlow::Break(())
                }
            },
        }
    }

    fn pause(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.warned_at.is_none_or(|at| now.saturating_duration_since(at) >= WARN_EVERY) {
            self.warned_at = Some(now);
            tracing::warn!(app = self.app, %error, "cannot accept connections; they wait");
        }
        self.paused_until = Some(now + ACCEPT_PAUSE);
    }

    fn carry_out(&mut self) {
        while !self.steps.is_empty() {
            // What fails adds steps.
            for step in std::mem::take(&mut self.steps) {
                self.carry_out_one(step);
            }
        }
    }

    fn carry_out_one(&mut self, step: Step) {
        let (pid, id, packet) = match step {
            Step::Offer(pid, id) => (pid, id, ToWorker::Offer(id)),
            Step::Insist(pid, id) => (pid, id, ToWorker::Insist(id)),
            Step::Send(pid, id) => (pid, id, ToWorker::Connection(id)),
            Step::Drop(id) => {
                self.held.remove(&id);
                return;
            }
        };
        // At the end what was not handed out in time is gone.
        let Some(connection) = self.held.get(&id) else { return };
        let connection = matches!(step, Step::Send(..)).then_some(connection);
        let sent = self.workers.get(&pid).map(|worker| worker.send(packet, connection));
        if !matches!(sent, Some(Ok(()))) {
            // Stuck or gone: as if it had refused.
            self.answered((pid, Ok(FromWorker::Refuse(id))));
        }
    }
}

#[cfg(test)]
mod tests;
