//! Compiles a component in a child of its own, since the master never looks into wasm.
//!
//! `run` calls it before anything of an app starts. The child gets a request and gives back native
//! code as a sealed memfd (`ipc::compile`); it may crash or hang without harm.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::{Context, bail};
use tokio::{process::Child, time::timeout};

use super::exit;
use crate::{
    ipc::compile::{CompileReply, CompileRequest, MAX_PACKET, Report},
    sys::{
        fd_socket::FdSocket,
        inherit::CONTROL_FD,
        memfd,
        spawn::{Spawn, spawn},
    },
};

/// The longest that a compiler may take.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest that it may take to end once it has answered.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A compiled component.
pub struct Compiled {
    /// Native code, in a sealed memfd.
    pub code: OwnedFd,
    /// What it is.
    pub report: Report,
}

/// Compiles, or finds it in the cache. Dropping the future kills the child.
pub async fn compile(request: CompileRequest) -> anyhow::Result<Compiled> {
    let what = format!("{} of {} ({})", request.role, request.app, request.component.display());
    let (socket, theirs) = FdSocket::pair().context("cannot make a socket for a compiler")?;
    let mut child = spawn(Spawn {
        title: format!("hatchery: compiler {} {}", request.app, request.role),
        args: super::arguments::of("compiler"),
        fds: vec![(theirs, CONTROL_FD)],
    })
    .with_context(|| format!("cannot start a compiler for the {what}"))?;
    let Ok(reply) = timeout(COMPILE_TIMEOUT, ask(&socket, &request)).await else {
        let _ = child.kill().await;
        let limit = humantime::format_duration(COMPILE_TIMEOUT);
        bail!("the compiler of the {what} did not end within {limit}");
    };
    let ended = end(&mut child).await;
    match reply {
        Ok(Some((Ok(report), Some(code)))) => {
            if !memfd::is_sealed(&code).unwrap_or(false) {
                bail!("the compiler of the {what} gave code that is not sealed");
            }
            Ok(Compiled { code, report })
        }
        Ok(Some((Ok(_), None))) => bail!("the compiler of the {what} gave no code"),
        Ok(Some((Err(reason), _))) => bail!("cannot compile the {what}: {reason}"),
        Ok(None) => bail!("the compiler of the {what} ended without an answer ({ended})"),
        Err(error) => Err(error.context(format!("the compiler of the {what} failed ({ended})"))),
    }
}

/// One packet there, one back. `None`: it ended.
async fn ask(
    socket: &FdSocket,
    request: &CompileRequest,
) -> anyhow::Result<Option<(CompileReply, Option<OwnedFd>)>> {
    let packet = postcard::to_stdvec(request).context("cannot encode a request")?;
    // One that ended at once is found by what it does not answer.
    let _ = socket.send(&packet, None).await;
    let mut packet = vec![0; MAX_PACKET];
    let Some((length, code)) = socket.recv(&mut packet).await.context("cannot read its answer")? else {
        return Ok(None);
    };
    let reply = postcard::from_bytes(&packet[..length]).context("its answer is garbage")?;
    Ok(Some((reply, code)))
}

/// Reaps it, and kills it if need be.
async fn end(child: &mut Child) -> String {
    match timeout(EXIT_TIMEOUT, child.wait()).await {
        Ok(status) => exit::reason(status),
        Err(_) => {
            let _ = child.kill().await;
            "killed, since it did not end by itself".to_owned()
        }
    }
}
