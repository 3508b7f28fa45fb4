//! A constant load of keep-alive connections, or of new ones, with every failure counted; and one that only keeps
//! guests computing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use super::{Connection, Version, empty, eventually, request, try_get};

/// What every second client pauses between two requests: its connection is idle, mostly.
const THINKS: Duration = Duration::from_millis(20);

/// What the others of a light load do: they leave the CPUs to what is tested.
const BREATHES: Duration = Duration::from_millis(1);

/// Clients of a light load.
const LIGHT: usize = 8;

/// Between two visits of one client.
const VISITS: Duration = Duration::from_millis(5);

/// A client that fails as often as that gives up.
const MAX_FAILURES: usize = 10;

/// Keeps so many workers of a probe computing, as long as it lives.
pub(crate) fn computing(addr: SocketAddr, workers: usize) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..2 * workers {
        clients.spawn(async move {
            loop {
                let _ = try_get(addr, "/spin?ms=200").await;
            }
        });
    }
    clients
}

/// Clients that send one request after the other, half of them with a pause.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    /// So many clients of one connection each.
    pub(crate) fn start(addr: SocketAddr, version: Version, connections: usize) -> Self {
        Self::start_with(addr, version, connections, None)
    }

    /// A few that are served all the while, and take no more of the CPUs than they must.
    pub(crate) fn light(addr: SocketAddr) -> Self {
        Self::start_with(addr, Version::H1, LIGHT, Some(BREATHES))
    }

    fn start_with(
        addr: SocketAddr,
        version: Version,
        connections: usize,
        others_pause: Option<Duration>,
    ) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..connections {
            let (stop, answered) = (stop.clone(), answered.clone());
            clients.spawn(async move {
                let pause = if number % 2 == 1 { Some(THINKS) } else { others_pause };
                client(addr, version, pause, &stop, &answered).await
            });
        }
        Self { stop, answered, clients }
    }

    /// So many clients, each with a new connection for every request: what a canary is given a share of.
    pub(crate) fn of_new_connections(addr: SocketAddr, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for _ in 0..clients {
            let (stop, answered) = (stop.clone(), answered.clone());
            all.spawn(async move { visitor(addr, &stop, &answered).await });
        }
        Self { stop, answered, clients: all }
    }

    /// How many requests were answered with 200.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }

    /// Waits for so many further answers.
    pub(crate) async fn goes_on(&self, answers: usize) {
        let before = self.answered();
        eventually("further answers", async || self.answered() >= before + answers).await;
    }

    /// Ends it. Gives all failures.
    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.store(true, SeqCst);
        self.clients.join_all().await.concat()
    }
}

/// A connection is opened anew only where the server had said that it would close it; that it was
/// closed otherwise is a failure, even where no request was under way.
async fn client(
    addr: SocketAddr,
    version: Version,
    pause: Option<Duration>,
    stop: &AtomicBool,
    answered: &AtomicUsize,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(SeqCst) && failures.len() < MAX_FAILURES {
        let mut connection = match Connection::try_open(addr, version).await {
            Ok(connection) => connection,
            Err(error) => {
                failures.push(format!("connecting: {error}"));
                continue;
            }
        };
        // HTTP/2 says so with a GOAWAY, which is found before the next request is sent.
        let mut may_close = matches!(version, Version::H2);
        while !stop.load(SeqCst) {
            match connection.try_send(request("GET", "/hello", empty())).await {
                Ok(reply) if reply.status == 200 => {
                    answered.fetch_add(1, SeqCst);
                    may_close |= reply.header("connection") == "close";
                }
                Ok(reply) => failures.push(format!("{} {}", reply.status, reply.text())),
                Err(error) if error.is_unsent() && may_close => break,
                Err(error) => {
                    failures.push(error.to_string());
                    break;
                }
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }
    failures
}

/// One request to a connection. A response of another status is a failure, and no reason to give up.
async fn visitor(addr: SocketAddr, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(SeqCst) {
        let reply = async {
            let mut connection = Connection::try_open(addr, Version::H1)
                .await
                .map_err(|error| format!("connecting: {error}"))?;
            connection.try_send(request("GET", "/hello", empty())).await.map_err(|error| error.to_string())
        };
        match reply.await {
            Ok(reply) if reply.status == 200 => {
                answered.fetch_add(1, SeqCst);
            }
            Ok(reply) => failures.push(format!("{} {}", reply.status, reply.text())),
            Err(error) => failures.push(error),
        }
        tokio::time::sleep(VISITS).await;
    }
    failures
}
