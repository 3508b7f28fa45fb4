//! The socket itself: who may connect, how many, and how slow they may be.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::sleep,
};

use super::routes;
use crate::{home::Home, master::deploy::Deployer, sys::user};

/// Requests at once; more wait.
const MAX_CONNECTIONS: usize = 64;

/// For the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

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
                    async move { Ok::<_, std::convert::Infallible>(routes::answer(request, uid, &deployer).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the admin socket ended early");
                }
            });
        }
    }
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
