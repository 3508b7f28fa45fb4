//! An agent's or a worker's way to its broker: what is asked, and what still waits for an answer.
//!
//! When a broker has died, the next one says `Began`, and what waits is asked again, a few times at the
//! most. Connections that were handed over are this process's own, and live on.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{net::TcpStream, sync::oneshot, task::AbortHandle};

use crate::{
    cluster::{DialError, Origin},
    host::{Dial, Dialling},
    ipc::broker::{Answer, Ask, DialId, MAX_PACKET, MAX_WITHIN},
    sys::{fd_socket::FdSocket, nonblocking},
};

/// How often one connection is asked for: a broker that dies of it must not die for ever.
const MAX_ASKED: u8 = 3;

/// The broker's socket and who waits.
pub(super) struct Broker(Arc<Inner>);

struct Inner {
    socket: FdSocket,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    dials: BTreeMap<DialId, Open>,
}

struct Open {
    packet: Vec<u8>,
    asked: u8,
    reply: oneshot::Sender<Result<TcpStream, DialError>>,
}

impl Broker {
    /// # Errors
    /// The system's own. To be called in a Tokio runtime.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let inner = Arc::new(Inner { socket: FdSocket::from_fd(socket)?, waiting: Mutex::default() });
        tokio::spawn(listen(Arc::clone(&inner)));
        Ok(Self(inner))
    }
}

impl Dial for Broker {
    fn dial(&self, to: Origin, within: Duration) -> Dialling {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let (reply, answered) = oneshot::channel();
            let open = inner.open(to, within, reply)?;
            inner.socket.send(&open.packet, None).await.map_err(|_| DialError::Unavailable)?;
            answered.await.map_err(|_| DialError::Unavailable)?
        })
    }
}

/// Closes a question when nobody waits for it any more.
struct Asked {
    id: DialId,
    inner: Arc<Inner>,
    packet: Vec<u8>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.inner.lock().dials.remove(&self.id);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(
        self: &Arc<Self>,
        to: Origin,
        within: Duration,
        reply: oneshot::Sender<Result<TcpStream, DialError>>,
    ) -> Result<Asked, DialError> {
        let mut waiting = self.lock();
        waiting.last += 1;
        let id = DialId(waiting.last);
        let ask = Ask { id, to, within: within.min(MAX_WITHIN) };
        let packet = postcard::to_stdvec(&ask).map_err(|_| DialError::Denied)?;
        if packet.len() > MAX_PACKET {
            // No name is so long.
            return Err(DialError::Denied);
        }
        waiting.dials.insert(id, Open { packet: packet.clone(), asked: 1, reply });
        Ok(Asked { id, inner: Arc::clone(self), packet })
    }

    fn close(&self, id: DialId, result: Result<TcpStream, DialError>) {
        let open = self.lock().dials.remove(&id);
        // Nobody waits: a connection is closed here.
        if let Some(open) = open {
            let _ = open.reply.send(result);
        }
    }

    /// Another broker is there. Gives what is to be asked of it.
    fn still_open(&self) -> Vec<DialId> {
        let mut waiting = self.lock();
        waiting.dials.retain(|_, open| {
            open.asked += 1;
            open.asked <= MAX_ASKED
        });
        waiting.dials.keys().copied().collect()
    }

    /// Asks for these again, as far as anybody still waits for them. More may be open than the socket holds.
    async fn ask_again(&self, ids: Vec<DialId>) {
        for id in ids {
            let Some(packet) = self.lock().dials.get(&id).map(|open| open.packet.clone()) else { continue };
            if self.socket.send(&packet, None).await.is_err() {
                self.lock().dials.remove(&id);
            }
        }
    }
}

/// A task that ends with this.
#[derive(Default)]
struct Asking(Option<AbortHandle>);

impl Asking {
    /// Instead of the one before: the broker that it spoke to is gone.
    fn begin(&mut self, inner: &Arc<Inner>) {
        let (inner, ids) = (Arc::clone(inner), inner.still_open());
        let task = tokio::spawn(async move { inner.ask_again(ids).await });
        if let Some(before) = self.0.replace(task.abort_handle()) {
            before.abort();
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Hears the broker until there never is one again.
async fn listen(inner: Arc<Inner>) {
    let mut packet = [0; MAX_PACKET];
    let mut asking = Asking::default();
    loop {
        let (length, fd) = match inner.socket.recv(&mut packet).await {
            Ok(Some(received)) => received,
            Ok(None) => break,
            Err(error) => {
                tracing::error!("the broker's answers can't be read: {error}");
                break;
            }
        };
        match (postcard::from_bytes(&packet[..length]), fd) {
            (Ok(Answer::Began), None) => asking.begin(&inner),
            (Ok(Answer::Connected(id)), Some(fd)) => {
                inner.close(id, stream(fd).map_err(|_| DialError::Overloaded));
            }
            // There was no number free for it.
            (Ok(Answer::Connected(id)), None) => inner.close(id, Err(DialError::Overloaded)),
            (Ok(Answer::Failed(id, error)), None) => inner.close(id, Err(error)),
            (Ok(Answer::Began | Answer::Failed(..)), Some(_)) | (Err(_), _) => {
                tracing::error!("the broker sent what is no answer");
                break;
            }
        }
    }
    inner.lock().dials.clear();
}

fn stream(fd: OwnedFd) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::from(fd);
    nonblocking::set(&stream)?;
    TcpStream::from_std(stream)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::fd::AsFd as _};

    use tokio::time::timeout;

    use super::*;
    use crate::cluster::Scheme;

    /// Far more than any of these takes.
    const DEADLINE: Duration = Duration::from_secs(10);

    fn origin() -> Origin {
        Origin { scheme: Scheme::Http, host: "a".to_owned(), port: 80 }
    }

    async fn heard(socket: &FdSocket) -> DialId {
        let mut packet = [0; MAX_PACKET];
        let (length, _) = timeout(DEADLINE, socket.recv(&mut packet)).await.unwrap().unwrap().unwrap();
        postcard::from_bytes::<Ask>(&packet[..length]).unwrap().id
    }

    async fn say(socket: &FdSocket, answer: Answer, fd: Option<&TcpStream>) {
        let packet = postcard::to_stdvec(&answer).unwrap();
        socket.send(&packet, fd.map(TcpStream::as_fd)).await.unwrap();
    }

    #[tokio::test]
    async fn what_waits_is_asked_again_but_not_for_ever() {
        let (theirs, ours) = FdSocket::pair().unwrap();
        let broker = Broker::new(ours).unwrap();
        let dial = tokio::spawn(broker.dial(origin(), DEADLINE));
        let id = heard(&theirs).await;
        for _ in 1..MAX_ASKED {
            say(&theirs, Answer::Began, None).await;
            assert_eq!(heard(&theirs).await, id);
        }
        say(&theirs, Answer::Began, None).await;
        let ended = timeout(DEADLINE, dial).await.unwrap().unwrap();
        assert_eq!(ended.unwrap_err(), DialError::Unavailable);
        assert!(broker.0.lock().dials.is_empty());
    }

    #[tokio::test]
    async fn more_than_the_socket_holds_is_asked_again() {
        const MANY: usize = 600;
        let (theirs, ours) = FdSocket::pair().unwrap();
        let broker = Broker::new(ours).unwrap();
        let dials: Vec<_> = (0..MANY).map(|_| tokio::spawn(broker.dial(origin(), DEADLINE))).collect();
        let mut first = BTreeSet::new();
        while first.len() < MANY {
            first.insert(heard(&theirs).await);
        }
        say(&theirs, Answer::Began, None).await;
        for _ in 0..MANY {
            let id = heard(&theirs).await;
            assert!(first.remove(&id), "{id:?} is asked for twice");
            say(&theirs, Answer::Failed(id, DialError::Refused), None).await;
        }
        for dial in dials {
            let ended = timeout(DEADLINE, dial).await.unwrap().unwrap();
            assert_eq!(ended.unwrap_err(), DialError::Refused);
        }
    }

    #[tokio::test]
    async fn answers_find_who_asked() {
        let (theirs, ours) = FdSocket::pair().unwrap();
        let broker = Broker::new(ours).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let connection = TcpStream::connect(addr).await.unwrap();
        let one = tokio::spawn(broker.dial(origin(), DEADLINE));
        let first = heard(&theirs).await;
        let two = tokio::spawn(broker.dial(origin(), DEADLINE));
        let second = heard(&theirs).await;
        // An answer that nobody waits for is closed.
        say(&theirs, Answer::Connected(DialId(77)), Some(&connection)).await;
        say(&theirs, Answer::Failed(second, DialError::Refused), None).await;
        say(&theirs, Answer::Connected(first), Some(&connection)).await;
        assert_eq!(timeout(DEADLINE, two).await.unwrap().unwrap().unwrap_err(), DialError::Refused);
        let stream = timeout(DEADLINE, one).await.unwrap().unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        let given_up = tokio::spawn(broker.dial(origin(), DEADLINE));
        heard(&theirs).await;
        given_up.abort();
        assert!(given_up.await.is_err());
        assert!(broker.0.lock().dials.is_empty());
    }
}
