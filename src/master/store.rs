//! Asks a storekeeper: a child for each request, so that neither hashing nor a disk that waits holds up
//! the master, and no byte of an archive is looked at in it.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixStream, unix::pipe},
    time::timeout,
};

use super::{
    exit,
    helpers::{self, Helper},
    isolation, status,
};
use crate::{
    admin::MAX_ARCHIVE,
    ipc::{
        link,
        store::{Answer, MAX_REPLY, StoreReply, StoreRequest, UploadBy, What},
    },
    log,
    sys::{
        inherit::{COMPONENT_FD, CONTROL_FD},
        point,
        spawn::{Child, Spawn, spawn},
    },
};

/// The longest that a request may take once an archive is in.
const STORE_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest that it may take to take in what it is asked, on a busy machine.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest between two pieces of an archive.
const UPLOAD_PAUSE: Duration = Duration::from_secs(30);

/// The longest that a storekeeper may leave a piece lying: it waits for the store's lock, or a disk.
const TAKE_PAUSE: Duration = Duration::from_secs(60);

/// The longest that an archive may take to come.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// Asks, without an archive.
///
/// # Errors
/// What the storekeeper says, or how it ended without saying anything.
pub(super) async fn ask(home: &Path, what: What) -> anyhow::Result<Answer> {
    finish(start(home, what, None).await?).await
}

/// Takes in an archive, of somebody who has bounds or not.
///
/// # Errors
/// As [`ask`]; the client stops sending.
pub(super) async fn add(home: &Path, archive: Incoming, by: Option<UploadBy>) -> anyhow::Result<Answer> {
    let (sender, receiver) = pipe::pipe().context("cannot make a pipe for an archive")?;
    let receiver = receiver.into_blocking_fd().context("cannot hand over a pipe")?;
    let keeper = start(home, What::Add { by }, Some(receiver)).await?;
    point::reach("add-begun");
    let Ok(uploaded) = timeout(UPLOAD_TIMEOUT, upload(sender, archive)).await else {
        bail!("the archive did not come within {}", humantime::format_duration(UPLOAD_TIMEOUT));
    };
    uploaded?;
    point::reach("add-uploaded");
    finish(keeper).await
}

/// One that has been asked.
struct Keeper {
    stream: UnixStream,
    child: Child,
    _listed: Helper,
}

async fn start(home: &Path, what: What, archive: Option<OwnedFd>) -> anyhow::Result<Keeper> {
    // Without links: what is below it is found in the same place when the storekeeper is shut in.
    let home = home.canonicalize().context("cannot find the home")?;
    let sandbox = Some(isolation::storekeeper(&home, &what));
    let request =
        postcard::to_stdvec(&StoreRequest { home, what }).context("cannot encode a request to the store")?;
    let (mut stream, theirs) = link::pair().context("cannot make a socket for a storekeeper")?;
    let pipes = helpers::line(status::Helper::Storekeeper, None, log::RATE);
    let (line, pipes) = pipes.context("cannot make pipes for a storekeeper")?;
    let archive = archive.map(|archive| (archive, COMPONENT_FD));
    let child = spawn(Spawn {
        title: "hatchery: storekeeper".to_owned(),
        args: super::arguments::of("storekeeper"),
        fds: [(theirs, CONTROL_FD)].into_iter().chain(archive).chain(pipes).collect(),
        sandbox,
    })
    .await
    .context("cannot start a storekeeper")?;
    let listed = Helper::new(&child, line);
    // One that ended at once is found by what it does not answer.
    let asking = async {
        let _ = stream.write_all(&request).await;
        let _ = stream.shutdown().await;
    };
    if timeout(ASK_TIMEOUT, asking).await.is_err() {
        bail!("a storekeeper did not take its request within {}", humantime::format_duration(ASK_TIMEOUT));
    }
    Ok(Keeper { stream, child, _listed: listed })
}

/// Passes on what comes. A storekeeper that has seen enough closes the pipe, and says why; the rest is
/// taken from the client all the same, which otherwise would not get to read the answer.
async fn upload(to: pipe::Sender, mut archive: Incoming) -> anyhow::Result<()> {
    let (mut to, mut sum) = (Some(to), 0);
    loop {
        let Ok(frame) = timeout(UPLOAD_PAUSE, archive.frame()).await else {
            bail!("the archive stopped coming for {}", humantime::format_duration(UPLOAD_PAUSE));
        };
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.context("the archive broke off")?;
        let data: &Bytes = match frame.data_ref() {
            Some(data) => data,
            None => continue,
        };
        sum += data.len() as u64;
        if sum > MAX_ARCHIVE {
            bail!("the archive has more than {} MiB, the most that one may have", MAX_ARCHIVE >> 20);
        }
        if let Some(pipe) = &mut to {
            let Ok(taken) = timeout(TAKE_PAUSE, pipe.write_all(data)).await else {
                let limit = humantime::format_duration(TAKE_PAUSE);
                bail!("the storekeeper took nothing of the archive for {limit}");
            };
            if taken.is_err() {
                to = None;
            }
        }
    }
}

async fn finish(keeper: Keeper) -> anyhow::Result<Answer> {
    let Keeper { stream, mut child, _listed } = keeper;
    let mut reply = vec![];
    let mut limited = stream.take(MAX_REPLY as u64 + 1);
    let Ok(read) = timeout(STORE_TIMEOUT, limited.read_to_end(&mut reply)).await else {
        let _ = child.kill().await;
        bail!("the store did not answer within {}", humantime::format_duration(STORE_TIMEOUT));
    };
    read.context("cannot read the store's answer")?;
    if reply.is_empty() {
        bail!("the storekeeper ended without an answer ({})", exit::reason(exit::ended(&mut child).await));
    }
    if reply.len() > MAX_REPLY {
        bail!("the store's answer has more than {MAX_REPLY} bytes");
    }
    let reply: StoreReply = postcard::from_bytes(&reply).context("the store's answer is garbage")?;
    let _ = exit::ended(&mut child).await;
    reply.map_err(anyhow::Error::msg)
}
