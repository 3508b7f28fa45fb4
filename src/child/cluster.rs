//! A child's side of the cluster: what its guest sends and asks, and who is there.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::asks::{Asks, Heard};
use crate::{
    cluster::{
        Action, AskError, AskTarget, Limit, Pid, Process, Rate, Role, SendError, State, Target, message_cost,
    },
    host::{Answer, Messenger, Outgoing, Waiting},
    ipc::{
        blackbox::BlackBox,
        counters::Counters,
        link::{self, Sender},
        message::{AskId, Boot, MAX_TRAP, ToMaster},
    },
};

/// The master is told of consumed messages at every so many, or at this share of the queue.
const CONSUMED_MESSAGES: u64 = 64;
const CONSUMED_SHARE: u64 = 8;

/// The longest that the master keeps a guest from sending at once.
const LONGEST_HUSH: Duration = Duration::from_secs(10);

/// The guest's way out, and the process's.
pub struct Cluster {
    sender: Sender<ToMaster>,
    name: String,
    version: String,
    message_size: usize,
    queue_size: u64,
    longest_ask: Duration,
    pid: Pid,
    processes: Mutex<Vec<Process>>,
    this: Process,
    asks: Asks,
    blackbox: Arc<BlackBox>,
    consumed: Mutex<Consumed>,
    counters: Arc<Counters>,
    outgoing: Arc<Outgoing>,
    pace: Mutex<Pace>,
}

/// How fast the guest may send.
struct Pace {
    /// `message-rate`, as if nobody else of the app sent.
    rate: Rate,
    /// The master wants nothing until then.
    quiet_until: Option<Instant>,
}

/// What may be sent at once, as a part of `message-rate`. The master allows a whole second's: one process
/// alone never comes near what it drops.
const BURST: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Consumed {
    messages: u64,
    bytes: u64,
}

impl Cluster {
    pub(super) fn new(
        boot: &Boot,
        sender: Sender<ToMaster>,
        blackbox: Arc<BlackBox>,
        counters: Arc<Counters>,
        outgoing: Arc<Outgoing>,
    ) -> Self {
        Self {
            sender,
            name: boot.app.name.clone(),
            version: boot.app.version.clone(),
            message_size: boot.app.limits.message_size,
            queue_size: boot.app.limits.queue_size as u64,
            longest_ask: boot.app.limits.request_timeout,
            pid: boot.process.pid,
            processes: Mutex::new(boot.processes.clone()),
            this: boot.process.clone(),
            asks: Asks::default(),
            blackbox,
            consumed: Mutex::default(),
            counters,
            outgoing,
            pace: Mutex::new(Pace {
                rate: Rate::new(boot.app.limits.message_rate.into(), BURST),
                quiet_until: None,
            }),
        }
    }

    /// The way to other hosts.
    pub(super) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.outgoing
    }

    /// The app sends too much: nothing more for so long.
    pub(super) fn hush(&self, pause: Duration) {
        self.lock_pace().quiet_until = Some(Instant::now() + pause.min(LONGEST_HUSH));
    }

    fn lock_pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is there room for it in `message-rate`?
    fn may_send(&self, bytes: usize, receivers: usize) -> bool {
        let now = Instant::now();
        let mut pace = self.lock_pace();
        let quiet = pace.quiet_until.is_some_and(|until| until > now);
        let may = !quiet && pace.rate.take(message_cost(bytes, receivers), now);
        if !may {
            self.counters.hit(Limit::MessageRate);
        }
        may
    }

    fn receivers(&self, to: Target) -> usize {
        match to {
            Target::Broadcast => self.lock_processes().len(),
            Target::App => self.workers(),
            Target::Agent | Target::Random | Target::Pid(_) => 1,
        }
    }

    fn workers(&self) -> usize {
        self.lock_processes().iter().filter(|process| process.role == Role::Worker).count()
    }

    /// Tells the master something that must not be lost. The queue keeps room for such frames.
    pub fn tell(&self, frame: &ToMaster) {
        self.tell_with(frame, &[]);
    }

    /// The same, with data.
    pub fn tell_with(&self, frame: &ToMaster, data: &[u8]) {
        if let Err(error) = self.sender.send_control(frame, data) {
            tracing::error!("cannot tell the master: {error}");
        }
    }

    /// An answer that may be sent.
    pub(super) fn fitting(&self, answer: Bytes) -> Result<Bytes, AskError> {
        if answer.len() <= self.message_size {
            return Ok(answer);
        }
        let (has, most) = (answer.len(), self.message_size);
        Err(AskError::Failed(format!("the answer has {has} bytes, and `message-size` allows {most}")))
    }

    /// Waits until all that was sent is with the master.
    pub async fn flushed(&self) {
        // When the link is gone there is nobody to tell.
        let _ = self.sender.flushed().await;
    }

    /// Its own id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Takes the new list. Is it news for the guest: did a process become ready, or go away? (One that
    /// starts is in the list as well, so that it can be answered.)
    pub(super) fn set_processes(&self, list: Vec<Process>) -> bool {
        let seen = |list: &[Process]| -> Vec<_> {
            let there = list.iter().filter(|process| process.state != State::Starting);
            there.map(|process| process.pid).collect()
        };
        let mut known = self.lock_processes();
        let news = seen(&known) != seen(&list);
        *known = list;
        news
    }

    pub(super) fn heard(&self, ask: AskId, heard: Heard) {
        self.asks.heard(ask, heard);
    }

    fn lock_processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, pid: Pid) -> bool {
        pid == self.pid || self.lock_processes().iter().any(|process| process.pid == pid)
    }

    fn begin_ask(
        &self,
        to: AskTarget,
        action: String,
        data: &[u8],
        timeout: Duration,
    ) -> Result<(super::asks::Open, Duration), AskError> {
        let action = Action::try_from(action).map_err(|why| AskError::InvalidAction(why.to_string()))?;
        if data.len() > self.message_size {
            self.counters.hit(Limit::MessageSize);
            return Err(AskError::TooLarge(self.message_size as u64));
        }
        if !self.may_send(data.len(), if to == AskTarget::App { self.workers() } else { 1 }) {
            return Err(AskError::Overloaded);
        }
        let timeout = if timeout.is_zero() { self.longest_ask } else { timeout.min(self.longest_ask) };
        let open = self.asks.open().ok_or(AskError::Overloaded)?;
        let frame = ToMaster::Ask { ask: open.id(), to, action, timeout };
        self.sender.try_send(&frame, data).map_err(|_| {
            self.counters.hit(Limit::QueueSize);
            AskError::Overloaded
        })?;
        Ok((open, timeout))
    }
}

impl Messenger for Cluster {
    fn send(&self, to: Target, action: String, data: &[u8]) -> Result<(), SendError> {
        let action = Action::try_from(action)?;
        if data.len() > self.message_size {
            self.counters.hit(Limit::MessageSize);
            return Err(SendError::TooLarge(self.message_size as u64));
        }
        if let Target::Pid(pid) = to
            && !self.knows(pid)
        {
            return Err(SendError::NoSuchProcess);
        }
        if !self.may_send(data.len(), self.receivers(to)) {
            return Err(SendError::Overloaded);
        }
        self.sender.try_send(&ToMaster::Send { to, action }, data).map_err(|error| match error {
            link::SendError::Closed => SendError::Unavailable,
            link::SendError::Full | link::SendError::TooLong => {
                self.counters.hit(Limit::QueueSize);
                SendError::Overloaded
            }
        })
    }

    fn ask(
        &self,
        to: AskTarget,
        action: String,
        data: &[u8],
        timeout: Duration,
    ) -> Waiting<Result<Bytes, AskError>> {
        let begun = self.begin_ask(to, action, data, timeout);
        Box::pin(async move {
            let (mut open, timeout) = begun?;
            open.one(timeout).await
        })
    }

    fn ask_app(
        &self,
        action: String,
        data: &[u8],
        timeout: Duration,
    ) -> Waiting<Result<Vec<Answer>, AskError>> {
        let begun = self.begin_ask(AskTarget::App, action, data, timeout);
        Box::pin(async move {
            let (mut open, timeout) = begun?;
            open.all(timeout).await
        })
    }

    fn consumed(&self, bytes: usize) {
        let mut consumed = self.consumed.lock().unwrap_or_else(PoisonError::into_inner);
        consumed.messages += 1;
        consumed.bytes += bytes as u64;
        if consumed.messages >= CONSUMED_MESSAGES || consumed.bytes >= self.queue_size / CONSUMED_SHARE {
            let Consumed { messages, bytes } = std::mem::take(&mut *consumed);
            self.tell(&ToMaster::Consumed { messages, bytes });
        }
    }

    fn trapped(&self, reason: &str) {
        self.counters.trapped();
        let cut = reason.floor_char_boundary(MAX_TRAP);
        let requests = self.blackbox.requests();
        self.tell(&ToMaster::Trapped { reason: reason[..cut].to_owned(), requests });
    }

    fn hit(&self, limit: Limit) {
        self.counters.hit(limit);
    }

    fn instance(&self, bytes: usize) {
        self.counters.instance(bytes as u64);
    }

    fn this(&self) -> Process {
        let list = self.lock_processes();
        list.iter().find(|process| process.pid == self.pid).cloned().unwrap_or_else(|| self.this.clone())
    }

    fn processes(&self) -> Vec<Process> {
        self.lock_processes().clone()
    }

    fn app(&self) -> (String, String) {
        (self.name.clone(), self.version.clone())
    }
}
