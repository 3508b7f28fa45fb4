//! The socket itself: who may connect, how many, and how slow they may be. How slow with a body is
//! `routes`' affair.
//!
//! ```text
//!   accept -> whose? -- nobody's who is granted anything --> one line, and cut before a byte is read
//!               \-- the owner, root, or in `[[admin]]` --> a seat (`seats`) -> one request (`routes`)
//! ```

use std::{
    collections::HashMap,
    convert::Infallible,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use http::{Request, Response, StatusCode};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    task::{AbortHandle, yield_now},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_io_timeout::TimeoutStream;

use super::{
    granted::{Asking, Granted},
    reply::Body,
    routes::{self, Who},
    seats::{Class, Room, Seats},
};
use crate::{
    admin::Error,
    home::{Grants, Home},
    master::deploy::Deployer,
    sys::{priority, user},
};

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

/// What one who comes costs: as much as copying so many bytes.
const COME: usize = 8 << 10;

/// How long accepting rests when the system refuses.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the settings are looked at for who is granted what.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is said that somebody was refused: who is can come ten thousand times.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Nobody but the owner; and everybody, who is then asked who it is.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o666;

/// The socket, in the home. Dropping it removes the file.
pub(in super::super) struct Socket {
    listener: UnixListener,
    file: PathBuf,
    home: Home,
}

/// Those who are connected. Shared by their tasks.
#[derive(Clone, Default)]
struct Present(Arc<Mutex<(Seats, HashMap<u64, AbortHandle>)>>);

impl Present {
    /// Nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, (Seats, HashMap<u64, AbortHandle>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them. Dropping it frees its seat.
struct Sits {
    id: u64,
    present: Present,
}

impl Drop for Sits {
    fn drop(&mut self) {
        let mut present = self.present.lock();
        present.0.left(self.id);
        present.1.remove(&self.id);
    }
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
        // Its folder has been this user's alone all the time, or who connects is looked at.
        protect(&file, PRIVATE)?;
        Ok(Self { listener, file, home: home.clone() })
    }

    /// Never ends.
    pub(in super::super) async fn run(&self, deployer: Deployer) {
        let mut hall = Hall::new(&self.file, deployer);
        let mut asking = Asking::default();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        hall.come(stream);
                        priority::worked(COME);
                        // Who gives way is closed when its task is: before the next one is taken, or thousands
                        // that wait in the backlog would all be open at once.
                        yield_now().await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept on the admin socket");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = look.tick() => if let Some(none) = asking.look(&self.home, Instant::now()) {
                    hall.settings(none);
                },
                granted = asking.answer() => hall.settings(granted),
            }
        }
    }
}

fn protect(file: &Path, mode: u32) -> anyhow::Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot protect {}", file.display()))
}

/// Who is let in.
struct Hall<'f> {
    file: &'f Path,
    deployer: Deployer,
    grants: Arc<Grants>,
    mode: u32,
    /// What is wrong with the settings; said once.
    wrong: Option<String>,
    present: Present,
    refused: u64,
    said: Option<Instant>,
}

impl<'f> Hall<'f> {
    fn new(file: &'f Path, deployer: Deployer) -> Self {
        Self {
            file,
            deployer,
            grants: Arc::default(),
            mode: PRIVATE,
            wrong: None,
            present: Present::default(),
            refused: 0,
            said: None,
        }
    }

    /// They may have changed. Where they are not right nobody but the owner is granted anything.
    fn settings(&mut self, granted: Granted) {
        let (grants, wrong) = match granted {
            Ok((grants, missing)) if missing.is_empty() => (grants, None),
            Ok((grants, missing)) => {
                (grants, Some(format!("not all of [[admin]] is granted: {}", missing.join("; "))))
            }
            Err(error) => {
                (Grants::default(), Some(format!("the admin socket is its owner's alone: {error:#}")))
            }
        };
        if let Some(wrong) = &wrong
            && self.wrong.as_ref() != Some(wrong)
        {
            tracing::warn!("{wrong}");
        }
        self.wrong = wrong;
        let mode = if grants.are_empty() { PRIVATE } else { PUBLIC };
        if *self.grants != grants {
            self.grants = Arc::new(grants);
        }
        if self.mode != mode {
            match protect(self.file, mode) {
                Ok(()) => self.mode = mode,
                Err(error) => tracing::warn!("{error:#}"),
            }
        }
    }

    /// Somebody has connected.
    fn come(&mut self, stream: UnixStream) {
        let Ok(uid) = stream.peer_cred().map(|cred| cred.uid()) else { return };
        let is_owner = uid == user::effective() || uid == 0;
        if !is_owner && !self.grants.know(uid) {
            let why =
                format!("uid {uid} may do nothing here: nothing below [[admin]] in settings.toml names it");
            refuse(&stream, StatusCode::FORBIDDEN, why);
            self.say_refused(uid);
            return;
        }
        let class = if is_owner { Class::Owner } else { Class::Other(uid) };
        let mut present = self.present.lock();
        let id = match present.0.come(class) {
            Room::Seat(id) => id,
            Room::InsteadOf(id, out) => {
                if let Some(task) = present.1.remove(&out) {
                    task.abort();
                }
                id
            }
            Room::None => {
                let why = format!("uid {uid} has as many requests under way as it may have; try again later");
                return refuse(&stream, StatusCode::SERVICE_UNAVAILABLE, why);
            }
        };
        let sits = Sits { id, present: self.present.clone() };
        let who = Arc::new(Who { uid, grants: (!is_owner).then(|| Arc::clone(&self.grants)) });
        let task = tokio::spawn(serve(stream, sits, who, self.deployer.clone()));
        present.1.insert(id, task.abort_handle());
    }

    fn say_refused(&mut self, uid: u32) {
        self.refused += 1;
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            let times = std::mem::take(&mut self.refused);
            tracing::warn!(uid, times, "somebody else's connection to the admin socket is refused");
        }
    }
}

/// Answers before anything is read. Who does not take it at once has to do without.
fn refuse(stream: &UnixStream, status: StatusCode, error: String) {
    let mut body = serde_json::to_vec(&Error { error }).unwrap_or_default();
    body.push(b'\n');
    let mut text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    text.append(&mut body);
    let _ = stream.try_write(&text);
}

async fn serve(stream: UnixStream, sits: Sits, who: Arc<Who>, deployer: Deployer) {
    let (present, id) = (sits.present.clone(), sits.id);
    let service = service_fn(move |request| {
        present.lock().0.asked(id);
        let (deployer, who) = (deployer.clone(), Arc::clone(&who));
        async move { Ok(routes::answer(request, &who, &deployer).await) }
    });
    if let Err(error) = connection(stream, PATIENCE, service).await {
        tracing::debug!(%error, "a connection to the admin socket ended early");
    }
    drop(sits);
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
