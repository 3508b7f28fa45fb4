//! One peer: an agent or a worker, and what it asks. Its bounds are here: what it has under way at once, and
//! how often it may ask. Past them its socket is read later, so that who floods waits, and nobody else.

use std::{io, os::fd::AsFd as _, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::dial::Dialler;
use crate::{
    cluster::{DialError, MAX_HOST},
    ipc::{
        broker::{Answer, Ask, MAX_PACKET, Peer},
        counters::Counters,
    },
    sys::fd_socket::FdSocket,
};

/// Connections that one peer has under way at once.
const MAX_DIALS: usize = 64;

/// How many connections one peer may ask for in a second, and how many at once after a pause.
const RATE: u32 = 1000;

/// Questions to the broker before this one that are left unread: more than the kernel holds.
const MAX_LEFT: usize = 4096;

/// How long a peer may take to read an answer. One that does not gets it no more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What all peers share.
#[derive(Clone)]
pub(super) struct With {
    /// Decides, and connects.
    pub(super) dialler: Arc<Dialler>,
    /// What the master shows: what is asked counts as a request, a connection as a response of [`MADE`], any
    /// other end as one of [`NOT_MADE`].
    pub(super) counters: Arc<Counters>,
}

/// How ends are counted.
const MADE: u16 = 200;
const NOT_MADE: u16 = 502;

/// Serves a peer until it is gone. An error: it broke the protocol, and how.
pub(super) async fn serve(peer: Peer, socket: FdSocket, with: With) -> Result<(), String> {
    let socket = Arc::new(socket);
    let mut packet = [0; MAX_PACKET];
    // What was asked of the one before is asked again.
    for _ in 0..MAX_LEFT {
        if matches!(socket.recv_now(&mut packet), Ok(None) | Err(_)) {
            break;
        }
    }
    answer(&socket, Answer::Began, None).await;
    let dials = Arc::new(Semaphore::new(MAX_DIALS));
    let mut rate = Rate::new(Instant::now());
    loop {
        let Ok(permit) = Arc::clone(&dials).acquire_owned().await else { return Ok(()) };
        let wait = rate.wait(Instant::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let ask: Ask = match socket.recv(&mut packet).await {
            Ok(Some((length, None))) => postcard::from_bytes(&packet[..length])
                .map_err(|error| format!("sent its broker garbage: {error}"))?,
            Ok(Some((_, Some(_)))) => return Err("sent its broker an fd".to_owned()),
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(format!("broke its broker's socket: {error}")),
        };
        if ask.to.host.len() > MAX_HOST {
            return Err(format!("asked its broker for a host of more than {MAX_HOST} bytes"));
        }
        let (socket, With { dialler, counters }) = (Arc::clone(&socket), with.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let counted = counters.begin(Instant::now().into_std());
            let connected = dialler.dial(peer.role, &ask.to, ask.within).await;
            let end = if connected.is_ok() { MADE } else { NOT_MADE };
            counted.answered(end, Instant::now().into_std());
            tracing::debug!(pid = %peer.pid, "{}: {}", ask.to, shown(&connected));
            match connected {
                Ok(stream) => answer(&socket, Answer::Connected(ask.id), Some(&stream)).await,
                Err(error) => answer(&socket, Answer::Failed(ask.id, error), None).await,
            }
        });
    }
}

fn shown(connected: &Result<TcpStream, DialError>) -> String {
    match connected {
        Ok(stream) => {
            stream.peer_addr().map_or_else(|_| "connected".to_owned(), |to| format!("connected to {to}"))
        }
        Err(error) => error.to_string(),
    }
}

/// A peer that is gone needs none.
async fn answer(socket: &FdSocket, answer: Answer, connection: Option<&TcpStream>) {
    let mut buf = [0; MAX_PACKET];
    let packet = postcard::to_slice(&answer, &mut buf).expect("an answer is a few numbers");
    let _ = timeout(ANSWER_TIMEOUT, socket.send(packet, connection.map(TcpStream::as_fd))).await;
}

/// A bucket that fills with [`RATE`] a second, and holds as much.
struct Rate {
    /// When it was or will be empty.
    empty: Instant,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { empty: now.checked_sub(Duration::from_secs(1)).unwrap_or(now) }
    }

    /// Takes one. How long to wait for it.
    fn wait(&mut self, now: Instant) -> Duration {
        let full = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        self.empty = self.empty.max(full) + Duration::from_secs(1) / RATE;
        self.empty.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        broker::rules::Rules,
        cluster::{Origin, Pid, Role, Scheme},
        home::OutboundPolicy,
        ipc::{
            broker::{BrokerBoot, BrokerLimits, DialId},
            counters,
            denials::Reporter,
        },
    };

    /// Far more than any of these takes.
    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_rate_has_a_burst_and_a_pace() {
        let begun = Instant::now();
        let mut rate = Rate::new(begun);
        let waited: Vec<_> = (0..RATE + 10).map(|_| rate.wait(begun)).collect();
        assert!(waited[..RATE as usize].iter().all(Duration::is_zero));
        assert_eq!(waited[RATE as usize + 9], Duration::from_millis(10));
        // A long pause gives no more than one burst.
        let later = begun + Duration::from_secs(60);
        assert_eq!((0..=RATE).map(|_| rate.wait(later)).filter(Duration::is_zero).count(), RATE as usize);
    }

    /// A peer's task, and its own end of the socket, after `Began`.
    async fn peer(granted: &[&str]) -> (FdSocket, tokio::task::JoinHandle<Result<(), String>>) {
        let (ours, theirs) = FdSocket::pair().unwrap();
        ours.send(b"left by the one before", None).await.unwrap();
        let rules = Rules::new(BrokerBoot {
            app: "a".to_owned(),
            agent: vec![],
            worker: granted.iter().map(|entry| entry.parse().unwrap()).collect(),
            policy: OutboundPolicy { hosts: None, private: true },
            hang_timeout: DEADLINE,
            limits: BrokerLimits::default(),
        });
        let dialler = Arc::new(Dialler::new(rules, Reporter::new(|_| {})));
        let socket = FdSocket::from_fd(theirs).unwrap();
        let peer = Peer { pid: Pid(1), role: Role::Worker };
        let (_, counters) = counters::create().unwrap();
        let counters = Arc::new(Counters::open(counters).unwrap());
        let task = tokio::spawn(serve(peer, socket, With { dialler, counters }));
        assert_eq!(heard(&ours).await, (Answer::Began, false));
        (ours, task)
    }

    async fn heard(socket: &FdSocket) -> (Answer, bool) {
        let mut packet = [0; MAX_PACKET];
        let (length, fd) = timeout(DEADLINE, socket.recv(&mut packet)).await.unwrap().unwrap().unwrap();
        (postcard::from_bytes(&packet[..length]).unwrap(), fd.is_some())
    }

    fn ask(id: u64, host: &str, port: u16) -> Vec<u8> {
        let to = Origin { scheme: Scheme::Http, host: host.to_owned(), port };
        postcard::to_stdvec(&Ask { id: DialId(id), to, within: DEADLINE }).unwrap()
    }

    #[tokio::test]
    async fn what_is_granted_is_handed_over_and_nothing_else() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (socket, task) = peer(&["http://127.0.0.1:*"]).await;
        for (id, host, expected) in [
            (1, "127.0.0.1", Answer::Connected(DialId(1))),
            (2, "localhost", Answer::Failed(DialId(2), DialError::Denied)),
            (3, "169.254.169.254", Answer::Failed(DialId(3), DialError::Denied)),
            (4, "127.1", Answer::Failed(DialId(4), DialError::Denied)),
            (5, "", Answer::Failed(DialId(5), DialError::Denied)),
            (1, "127.0.0.1", Answer::Connected(DialId(1))),
        ] {
            socket.send(&ask(id, host, port), None).await.unwrap();
            assert_eq!(heard(&socket).await, (expected, matches!(expected, Answer::Connected(_))), "{host}");
        }
        drop(socket);
        assert_eq!(timeout(DEADLINE, task).await.unwrap().unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn who_breaks_the_protocol_is_read_no_more() {
        let long = ask(1, &"a".repeat(MAX_HOST + 1), 80);
        let right = ask(1, "a", 80);
        let huge = vec![0; MAX_PACKET + 1];
        for (packet, with_fd, expected) in [
            (&b"garbage, and long enough for it"[..], false, "garbage"),
            (&long, false, "a host of more than 254 bytes"),
            (&huge, false, "more than"),
            (&right, true, "an fd"),
        ] {
            let (socket, task) = peer(&[]).await;
            let file = tempfile::tempfile().unwrap();
            socket.send(packet, with_fd.then(|| file.as_fd())).await.unwrap();
            let error = timeout(DEADLINE, task).await.unwrap().unwrap().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn a_flood_waits() {
        let (socket, _task) = peer(&[]).await;
        let begun = Instant::now();
        let count = u64::from(RATE) + 300;
        let flood = async {
            for id in 0..count {
                socket.send(&ask(id, "a.example", 80), None).await.unwrap();
            }
        };
        let answers = async {
            for _ in 0..count {
                assert!(matches!(heard(&socket).await, (Answer::Failed(_, DialError::Denied), false)));
            }
        };
        tokio::join!(flood, answers);
        assert!(begun.elapsed() >= Duration::from_millis(299), "{:?}", begun.elapsed());
    }
}
