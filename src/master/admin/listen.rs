//! The socket itself: who may connect, how many, and how slow they may be. How slow with a body is
//! `routes`' affair.

use std::{
    convert::Infallible, fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration,
};

use anyhow::Context as _;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;

use super::{reply::Body, routes};
use crate::{home::Home, master::deploy::Deployer, sys::user};

/// Requests at once; more wait.
const MAX_CONNECTIONS: usize = 64;

/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// How slow a client may be.
const PATIENCE: Patience = Patience { head: Duration::from_secs(10), write: Duration::from_secs(30) };

/// See [`PATIENCE`].
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// With the head of its request, from the connection on.
    head: Duration,
    /// With taking something of what is written to it.
    write: Duration,
}

/// How long accepting rests when the system refuses.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket, in the home. Dropping it removes the file.
pub(in super::super) struct Socket {
    listener: UnixListener,
    file: PathBuf,
}

impl Socket {
    /// Who calls it holds the home's lock: what lies there is of a master that is gone.
    pub(in super::super) fn bind(home: &Home) -> anyhow::Result<Self> {
        let file = home.socket()?;
        let shown = file.display();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove the old socket {shown}"));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&file).with_context(|| format!("cannot listen on {shown}"))?;
        // Its folder has been this user's alone all the time.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect {shown}"))?;
        Ok(Self { listener, file })
    }

    /// Never ends.
    pub(in super::super) async fn run(&self, deployer: Deployer) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the admin socket");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(uid) = admitted(&stream) else { continue };
            let deployer = deployer.clone();
            tokio::spawn(async move {
                let _place = place;
                let service = service_fn(move |request| {
                    let deployer = deployer.clone();
                    async move { Ok(routes::answer(request, uid, &deployer).await) }
                });
                if let Err(error) = connection(stream, PATIENCE, service).await {
                    tracing::debug!(%error, "a connection to the admin socket ended early");
                }
            });
        }
    }
}

/// One request, and its answer.
async fn connection(
    stream: UnixStream,
    patience: Patience,
    service: impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
) -> hyper::Result<()> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience.write));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .await
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// The other end's user, where it is the master's own, or root.
fn admitted(stream: &UnixStream) -> Option<u32> {
    let uid = stream.peer_cred().ok()?.uid();
    let may = uid == user::effective() || uid == 0;
    if !may {
        tracing::warn!(uid, "somebody else's connection to the admin socket is refused");
    }
    may.then_some(uid)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::io::AsyncWriteExt as _;

    use super::{super::reply::boxed, *};

    /// Far longer than the limits that are tested, and shorter than the others.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    async fn ended(request: &[u8], patience: Patience) -> (Duration, String) {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(request).await.unwrap();
        let begun = Instant::now();
        // More than the system keeps for a client that does not read.
        let large =
            service_fn(|_| async { Ok(Response::new(boxed(Full::new(Bytes::from(vec![0; 8 << 20]))))) });
        let ended = tokio::time::timeout(LONG / 2, connection(server, patience, large)).await;
        (begun.elapsed(), format!("{:?}", ended.expect("it ends").unwrap_err()))
    }

    #[tokio::test]
    async fn who_does_not_send_or_read_is_given_up() {
        let (elapsed, error) = ended(b"GET / HTTP/1.1\r\nhost:", Patience { head: SHORT, write: LONG }).await;
        assert!(elapsed >= SHORT && error.contains("HeaderTimeout"), "{elapsed:?} {error}");
        let request = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
        let (elapsed, error) = ended(request, Patience { head: LONG, write: SHORT }).await;
        assert!(elapsed >= SHORT && error.contains("TimedOut"), "{elapsed:?} {error}");
    }
}
