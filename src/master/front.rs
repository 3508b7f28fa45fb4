//! How an app's connections reach its workers: by handoff, by an inherited listener, or not at all.
//! `app` owns one, which its generations share for as long as address and balance stay the same. What
//! depends on the balance ends here.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout_at,
};

use super::{
    balance::{self, Policy},
    listeners::{self, Breach, Command},
    turns::Share,
};
use crate::{
    cluster::{Pid, Role},
    manifest::Balance,
    sys::fd_socket::FdSocket,
};

/// How long past its time a listener may take to say that it has closed.
const CLOSE_SLACK: Duration = Duration::from_millis(500);

/// The fds that a worker is started with for its connections.
#[derive(Default)]
pub(crate) struct Inherited {
    /// Its end of the handoff socket.
    pub(crate) handoff: Option<OwnedFd>,
    /// The listener.
    pub(crate) listener: Option<OwnedFd>,
}

/// What a front is made of.
pub(crate) struct Options {
    /// For logs.
    pub(crate) app: String,
    /// Bound, nonblocking.
    pub(crate) listener: TcpListener,
    /// How connections are spread.
    pub(crate) balance: Balance,
    /// The most connections that the master holds.
    pub(crate) max_held: usize,
    /// The app's share of the time for accepting them.
    pub(crate) connections: Share,
}

/// A listener and who accepts on it.
pub(crate) struct Front {
    address: Option<SocketAddr>,
    /// `None` without workers, or once it is closed.
    listener: Mutex<Option<TcpListener>>,
    kind: Kind,
}

enum Kind {
    /// There are no workers.
    None,
    Handoff {
        commands: mpsc::UnboundedSender<Command>,
        task: AbortHandle,
    },
    Shared,
}

impl Front {
    /// Nothing is accepted before [`Front::open`]. Workers that break the handoff's protocol come
    /// out of `breaches`. Without options nothing is listened to.
    pub(crate) fn new(options: Option<Options>, breaches: mpsc::UnboundedSender<Breach>) -> io::Result<Self> {
        let Some(Options { app, listener, balance, max_held, connections }) = options else {
            return Ok(Self { address: None, listener: Mutex::new(None), kind: Kind::None });
        };
        let kept = Mutex::new(Some(listener.try_clone()?));
        let address = Some(listener.local_addr()?);
        let policy = match balance {
            Balance::RoundRobin => Policy::RoundRobin,
            Balance::LeastConnections => Policy::LeastConnections,
            Balance::Shared => return Ok(Self { address, listener: kept, kind: Kind::Shared }),
        };
        let (commands, told) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let options =
                listeners::Options { app: app.clone(), policy, listener, max_held, share: connections };
            if let Err(error) = listeners::run(options, told, breaches).await {
                tracing::error!(app, %error, "the listener failed");
            }
        });
        Ok(Self { address, listener: kept, kind: Kind::Handoff { commands, task: task.abort_handle() } })
    }

    /// Where it listens, with the real port.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Its listener once more, for another front. `None` without workers, or when it is closed.
    pub(crate) fn listener(&self) -> io::Result<Option<TcpListener>> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.as_ref().map(TcpListener::try_clone).transpose()
    }

    /// A process is about to be spawned.
    pub(crate) fn add(&self, pid: Pid, role: Role) -> io::Result<Inherited> {
        match (&self.kind, role) {
            (Kind::None, _) | (_, Role::Agent) => Ok(Inherited::default()),
            (Kind::Handoff { .. }, Role::Worker) => {
                let (ours, theirs) = FdSocket::pair()?;
                self.tell(Command::Add(pid, ours));
                Ok(Inherited { handoff: Some(theirs), listener: None })
            }
            (Kind::Shared, Role::Worker) => {
                Ok(Inherited { handoff: None, listener: self.listener()?.map(Into::into) })
            }
        }
    }

    /// A worker of this generation takes connections.
    pub(crate) fn ready(&self, pid: Pid, generation: u64) {
        self.tell(Command::Ready(pid, generation));
    }

    /// A generation gets a share of the new connections, until there is none any more. Not where
    /// workers accept for themselves.
    pub(crate) fn share(&self, share: Option<balance::Share>) {
        self.tell(Command::Share(share));
    }

    /// A process takes nothing new.
    pub(crate) fn draining(&self, pid: Pid) {
        self.tell(Command::Draining(pid));
    }

    /// A process is gone.
    pub(crate) fn gone(&self, pid: Pid) {
        self.tell(Command::Gone(pid));
    }

    /// The app is ready.
    pub(crate) fn open(&self) {
        self.tell(Command::Open);
    }

    /// Takes nothing new, and hands out what is held. Done when that is done, or about then.
    pub(crate) fn close(&self, by: Instant) -> impl Future<Output = ()> + Send + use<> {
        let (done, wait) = oneshot::channel();
        self.tell(Command::Close(by, done));
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = None;
        async move {
            // Where there is none to listen, it drops what it is told.
            let _ = timeout_at((by + CLOSE_SLACK).into(), wait).await;
        }
    }

    fn tell(&self, command: Command) {
        if let Kind::Handoff { commands, .. } = &self.kind {
            // A listener that failed has said so in the log.
            let _ = commands.send(command);
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Kind::Handoff { task, .. } = &self.kind {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_listener_that_does_not_listen_is_not_waited_for() {
        let (commands, _told) = mpsc::unbounded_channel();
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let kind = Kind::Handoff { commands, task };
        let front = Front { address: None, listener: Mutex::new(None), kind };
        let closed = front.close(Instant::now() + Duration::from_millis(10));
        timeout(Duration::from_secs(20), closed).await.expect("in time");
    }
}
