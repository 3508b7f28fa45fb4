//! One connection: look up, choose, connect. What is connected to is an address that `rules` has seen,
//! never a name.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    here::is_here,
    rules::{Rules, Way, choose},
};
use crate::{
    cluster::{DialError, Origin, Role},
    ipc::{broker::MAX_WITHIN, denials::Reporter},
    sys::connect,
};

/// Names that are looked up at once. A resolver that does not answer holds a thread for each.
const MAX_LOOKUPS: usize = 32;

/// Connections under way at once, of all peers together.
const MAX_DIALS: usize = 512;

/// What all dials of a broker share.
pub(super) struct Dialler {
    rules: Rules,
    reporter: Arc<Reporter>,
    lookups: Arc<Semaphore>,
    dials: Semaphore,
}

impl Dialler {
    pub(super) fn new(rules: Rules, reporter: Arc<Reporter>) -> Self {
        Self {
            rules,
            reporter,
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            dials: Semaphore::new(MAX_DIALS),
        }
    }

    /// A connection to there, if a process of this role may have it.
    pub(super) async fn dial(
        &self,
        role: Role,
        to: &Origin,
        within: Duration,
    ) -> Result<TcpStream, DialError> {
        let end = Instant::now() + within.min(MAX_WITHIN);
        let way = self.rules.way(role, to).map_err(|why| {
            self.reporter.note(to.clone(), why);
            DialError::Denied
        })?;
        let addresses = match way {
            Way::Addresses(addresses) => addresses,
            Way::Name(name) => {
                let found = timeout(left(end), self.look_up(name, to.port)).await;
                choose(found.map_err(|_| DialError::TimedOut)??, is_here).map_err(|why| match why {
                    Some(why) => {
                        self.reporter.note(to.clone(), why);
                        DialError::Prohibited
                    }
                    None => DialError::NotFound,
                })?
            }
        };
        let _permit = timeout(left(end), self.dials.acquire()).await.map_err(|_| DialError::Overloaded)?;
        connect(&addresses, to.port, end).await
    }

    /// All addresses of a name, as the system finds them.
    async fn look_up(&self, name: String, port: u16) -> Result<Vec<IpAddr>, DialError> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await;
        let found = tokio::task::spawn_blocking(move || {
            // Until it is done, whether or not somebody still waits.
            let _permit = permit;
            (name.as_str(), port).to_socket_addrs().map(|all| all.map(|one| one.ip()).collect())
        });
        found.await.map_err(|_| DialError::NotFound)?.map_err(|_| DialError::NotFound)
    }
}

/// One after the other, each with its part of what is left of the time.
async fn connect(addresses: &[IpAddr], port: u16, end: Instant) -> Result<TcpStream, DialError> {
    let mut failure = DialError::NotFound;
    for (index, address) in addresses.iter().enumerate() {
        let tries = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let trying = connect::connect(SocketAddr::new(*address, port));
        failure = match timeout(left(end) / tries, trying).await {
            Ok(Ok(stream)) => {
                // Requests are small, and written whole.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => reason(&error),
            Err(_) => DialError::TimedOut,
        };
    }
    Err(failure)
}

fn reason(error: &io::Error) -> DialError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialError::Refused,
        io::ErrorKind::TimedOut => DialError::TimedOut,
        // No free number for an fd, or no free port.
        _ if matches!(error.raw_os_error(), Some(23 | 24 | 99)) => DialError::Overloaded,
        _ => DialError::Unreachable,
    }
}

fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::Scheme,
        home::OutboundPolicy,
        ipc::broker::{BrokerBoot, BrokerLimits},
    };

    const WITHIN: Duration = Duration::from_secs(10);

    fn dialler(worker: &[&str]) -> Dialler {
        let rules = Rules::new(BrokerBoot {
            app: "a".to_owned(),
            agent: vec![],
            worker: worker.iter().map(|entry| entry.parse().unwrap()).collect(),
            policy: OutboundPolicy { hosts: None, private: true },
            hang_timeout: WITHIN,
            limits: BrokerLimits::default(),
        });
        Dialler::new(rules, Reporter::new(|_| {}))
    }

    async fn dial(dialler: &Dialler, host: &str, port: u16) -> Result<SocketAddr, DialError> {
        let to = Origin { scheme: Scheme::Http, host: host.to_owned(), port };
        let stream = dialler.dial(Role::Worker, &to, WITHIN).await?;
        Ok(stream.peer_addr().unwrap())
    }

    #[tokio::test]
    async fn what_is_named_is_reached_and_nothing_by_another_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let port = addr.port();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dialler = dialler(&[
            "http://127.0.0.1:*",
            "http://localhost:*",
            "http://ip6-localhost:*",
            "http://*.invalid:*",
        ]);
        assert_eq!(dial(&dialler, "127.0.0.1", port).await, Ok(addr));
        assert_eq!(dial(&dialler, "[::ffff:127.0.0.1]", port).await, Ok(addr));
        assert_eq!(dial(&dialler, "localhost", port).await, Ok(addr));
        assert_eq!(dial(&dialler, "127.0.0.2", port).await, Err(DialError::Denied));
        assert_eq!(dial(&dialler, "127.0.0.1", free).await, Err(DialError::Refused));
        assert_eq!(dial(&dialler, "nobody.invalid", port).await, Err(DialError::NotFound));
    }

    #[tokio::test]
    async fn a_name_in_the_hosts_file_does_not_lead_here() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let local = hosts.lines().filter(|line| line.starts_with("127."));
        let names =
            local.flat_map(|line| line.split_whitespace().skip(1)).filter(|name| *name != "localhost");
        for name in names {
            let entry = format!("http://{name}:*");
            let dialler = dialler(&[&entry]);
            assert_eq!(dial(&dialler, name, port).await, Err(DialError::Prohibited), "{name}");
        }
    }

    #[tokio::test]
    async fn addresses_are_tried_in_turn() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let all = ["127.0.0.2".parse().unwrap(), addr.ip()];
        let stream = connect(&all, addr.port(), Instant::now() + WITHIN).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        let none = connect(&all[..1], addr.port(), Instant::now() + WITHIN).await;
        assert_eq!(none.unwrap_err(), DialError::Refused);
    }
}
