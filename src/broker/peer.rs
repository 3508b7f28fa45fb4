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
    ipc::broker::{Answer, Ask, MAX_PACKET, Peer},
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

/// Serves a peer until it is gone. An error: it broke the protocol, and how.
pub(super) async fn serve(peer: Peer, socket: FdSocket, dialler: Arc<Dialler>) -> Result<(), String> {
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
        let (socket, dialler) = (Arc::clone(&socket), Arc::clone(&dialler));
        tokio::spawn(async move {
            let _permit = permit;
            let connected = dialler.dial(peer.role, &ask.to, ask.within).await;
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
        Ok(stream) => stream.peer_addr().map_or_else(|_| "connected".to_owned(), |to| format!("connected to {to}")),
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
}
