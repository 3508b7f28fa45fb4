//! How connections reach a worker: handed over by the master, or accepted from a shared listener.

use std::{
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use anyhow::Context as _;
use futures::FutureExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::connection::Connections;
use crate::{
    host::Computing,
    ipc::handoff::{ConnectionId, FromWorker, MAX_PACKET, ToWorker},
    manifest::{Balance, InstanceMode, Worker},
    sys::{fd_socket::FdSocket, inherit, nonblocking},
};

/// How long a worker pauses when it has no fd left.
const NO_FD_PAUSE: Duration = Duration::from_millis(50);

/// How long a worker whose guests compute leaves a shared listener to others, where each request has an
/// instance of its own: what comes is answered beside the others, if slowly, and with many requests
/// it may be that all workers compute all the time.
const LEFT_TO_OTHERS: Duration = Duration::from_millis(250);

/// The most connections that are still accepted when the worker stops: what a backlog holds.
const LAST_ACCEPTS: usize = 4096;

/// A worker's source of connections.
pub(super) struct Acceptor {
    source: Source,
    most: usize,
    manners: Manners,
}

enum Source {
    Handoff(Arc<FdSocket>),
    Listener(TcpListener),
}

impl Acceptor {
    /// Takes what the master gave. While this process's guests compute for long, other workers are
    /// preferred.
    pub(super) fn inherited(worker: &Worker, computing: Computing) -> anyhow::Result<Self> {
        let source = match worker.balance {
            Balance::RoundRobin | Balance::LeastConnections => {
                let socket =
                    inherit::take(inherit::HANDOFF_FD).context("no handoff socket was handed over")?;
                Source::Handoff(Arc::new(FdSocket::from_fd(socket)?))
            }
            Balance::Shared => {
                let listener = inherit::take(inherit::LISTENER_FD).context("no listener was handed over")?;
                let listener = std::net::TcpListener::from(listener);
                nonblocking::set(&listener)?;
                Source::Listener(TcpListener::from_std(listener)?)
            }
        };
        let left_to_others = (worker.instance == InstanceMode::PerRequest).then_some(LEFT_TO_OTHERS);
        Ok(Self { source, most: worker.connections.get(), manners: Manners { computing, left_to_others } })
    }

    /// Takes connections until they end: nothing more comes, or accepting is to stop.
    pub(super) async fn run(self, connections: Connections) -> anyhow::Result<()> {
        let open = Arc::new(AtomicUsize::new(0));
        match self.source {
            Source::Handoff(socket) => {
                handed_over(&socket, &connections, &open, self.most, &self.manners.computing).await
            }
            Source::Listener(listener) => {
                shared(listener, &connections, &open, self.most, &self.manners).await
            }
        }
    }
}

/// When a worker leaves connections to others: while its guests compute.
struct Manners {
    computing: Computing,
    /// How long it leaves a listener to them; without it, until its guests have done.
    left_to_others: Option<Duration>,
}

async fn handed_over(
    socket: &Arc<FdSocket>,
    connections: &Connections,
    open: &Arc<AtomicUsize>,
    most: usize,
    computing: &Computing,
) -> anyhow::Result<()> {
    let mut packet = [0; MAX_PACKET];
    let has_room = || {
        let room = open.load(Relaxed) < most;
        if !room {
            connections.is_full();
        }
        room
    };
    loop {
        let Some((length, fd)) = socket.recv(&mut packet).await? else { return Ok(()) };
        match postcard::from_bytes(&packet[..length]).context("the master's packet can't be read")? {
            ToWorker::Offer(id) => {
                // Nothing is set aside: the master may have asked another one meanwhile.
                let room = has_room();
                let computes = room && computing.is_long();
                if computes {
                    tracing::debug!("connection {} is better served elsewhere: the guest computes", id.0);
                }
                let answer = if computes { FromWorker::Busy } else { accept_or_refuse(room) };
                say(socket, answer(id)).await?;
            }
            ToWorker::Insist(id) => say(socket, accept_or_refuse(has_room())(id)).await?,
            ToWorker::Connection(id) => {
                let Some(fd) = fd.filter(|_| open.load(Relaxed) < most) else {
                    // As many as may be, or no free fd: the master still has the connection.
                    say(socket, FromWorker::Refuse(id)).await?;
                    continue;
                };
                open.fetch_add(1, Relaxed);
                say(socket, FromWorker::Taken(id)).await?;
                let closed = closed(socket.clone(), open.clone(), id);
                match stream(fd) {
                    Ok(stream) => connections.serve(stream, closed),
                    Err(error) => {
                        tracing::warn!("a connection can't be served: {error}");
                        closed();
                    }
                }
            }
            ToWorker::Closing => return Ok(()),
        }
    }
}

fn accept_or_refuse(room: bool) -> fn(ConnectionId) -> FromWorker {
    if room { FromWorker::Accept } else { FromWorker::Refuse }
}

fn closed(socket: Arc<FdSocket>, open: Arc<AtomicUsize>, id: ConnectionId) -> impl FnOnce() + Send {
    move || {
        open.fetch_sub(1, Relaxed);
        tokio::spawn(async move {
            // When the master is gone this process goes too.
            let _ = say(&socket, FromWorker::Closed(id)).await;
        });
    }
}

async fn say(socket: &FdSocket, word: FromWorker) -> anyhow::Result<()> {
    let mut packet = [0; MAX_PACKET];
    let packet = postcard::to_slice(&word, &mut packet)?;
    Ok(socket.send(packet, None).await?)
}

fn stream(fd: OwnedFd) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::from(fd);
    nonblocking::set(&stream)?;
    TcpStream::from_std(stream)
}

async fn shared(
    listener: TcpListener,
    connections: &Connections,
    open: &Arc<AtomicUsize>,
    most: usize,
    manners: &Manners,
) -> anyhow::Result<()> {
    let free = Arc::new(tokio::sync::Notify::new());
    let take = |stream| {
        open.fetch_add(1, Relaxed);
        let (open, free) = (open.clone(), free.clone());
        connections.serve(stream, move || {
            open.fetch_sub(1, Relaxed);
            free.notify_one();
        });
    };
    if !connections.opened().await {
        return Ok(());
    }
    loop {
        while open.load(Relaxed) >= most {
            connections.is_full();
            tokio::select! {
                () = free.notified() => {}
                () = connections.stopping() => return Ok(()),
            }
        }
        tokio::select! {
            accepted = accept(&listener, manners) => match accepted {
                Ok(stream) => {
                    take(stream);
                    // So that one worker does not take all that came at once.
                    tokio::task::yield_now().await;
                }
                Err(error) => pause(&error).await,
            },
            () = connections.stopping() => break,
        }
    }
    // What the kernel has accepted already is served. Tokio may not have heard of it yet.
    let listener = listener.into_std()?;
    for _ in 0..LAST_ACCEPTS {
        let Ok((stream, _)) = listener.accept() else { break };
        nonblocking::set(&stream)?;
        take(TcpStream::from_std(stream)?);
    }
    Ok(())
}

/// The next connection of a shared listener. While this worker's guests compute it does not look at
/// the listener: other workers do.
async fn accept(listener: &TcpListener, manners: &Manners) -> io::Result<TcpStream> {
    let Manners { computing, left_to_others } = manners;
    loop {
        let accepted = poll_fn(|cx| {
            if computing.is_long() {
                return Poll::Ready(None);
            }
            listener.poll_accept(cx).map(Some)
        });
        if let Some(accepted) = accepted.await {
            return accepted.map(|(stream, _)| stream);
        }
        tracing::debug!("connections are better served elsewhere: the guest computes");
        match left_to_others {
            None => computing.over().await,
            Some(limit) => {
                // Others have taken what they can by then.
                if timeout(*limit, computing.over()).await.is_err()
                    && let Some(accepted) = listener.accept().now_or_never()
                {
                    return accepted.map(|(stream, _)| stream);
                }
            }
        }
    }
}

/// After a failed accept: at once where only that connection is concerned, later where fds or
/// memory are short.
async fn pause(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::warn!("cannot accept for the moment: {error}");
        tokio::time::sleep(NO_FD_PAUSE).await;
    }
}
