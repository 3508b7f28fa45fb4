//! Compiles a component in a child of its own, since the master never looks into wasm.
//!
//! `run` calls it before anything of an app starts. The child gets a request and gives back native
//! code as a sealed memfd (`ipc::compile`); it may crash or hang without harm. It has limits of CPU time
//! and memory (which it sets itself), and of time, and who passes one is told which.

use std::{io, os::fd::OwnedFd, process::ExitStatus, time::Duration};

use anyhow::{Context, bail};
use bytesize::ByteSize;
use tokio::time::timeout;

use super::{
    exit,
    helpers::{self, Helper},
    isolation, status,
};
use crate::{
    ipc::compile::{CompileReply, CompileRequest, MAX_PACKET, MEMORY_LIMIT, Report},
    sys::{
        fd_socket::FdSocket,
        inherit::CONTROL_FD,
        memfd,
        spawn::{Child, Spawn, spawn},
    },
};

/// The longest that a compiler may take: more than its CPU time, since others want the CPUs too.
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
    let (line, told) = helpers::line().context("cannot make a pipe for a compiler")?;
    let mut child = spawn(Spawn {
        title: format!("hatchery: compiler {} {}", request.app, request.role),
        args: super::arguments::of("compiler"),
        fds: vec![(theirs, CONTROL_FD), told],
        sandbox: Some(isolation::compiler(&request)),
    })
    .await
    .with_context(|| format!("cannot start a compiler for the {what}"))?;
    let _listed = Helper::new(status::Helper::Compiler, Some(&request.app), &child, line);
    let Ok(reply) = timeout(COMPILE_TIMEOUT, ask(&socket, &request)).await else {
        let _ = child.kill().await;
        let limit = humantime::format_duration(COMPILE_TIMEOUT);
        bail!("cannot compile the {what}: that takes more than {limit}, the most that compiling may take");
    };
    let status = end(&mut child).await;
    let limit = status.as_ref().ok().and_then(|status| passed(*status, request.cpu_limit));
    let ended = exit::reason(status);
    match reply {
        Ok(Some((Ok(report), Some(code)))) => {
            if !memfd::is_sealed(&code).unwrap_or(false) {
                bail!("the compiler of the {what} gave code that is not sealed");
            }
            Ok(Compiled { code, report })
        }
        Ok(Some((Ok(_), None))) => bail!("the compiler of the {what} gave no code"),
        Ok(Some((Err(reason), _))) => bail!("cannot compile the {what}: {reason}"),
        Ok(None) | Err(_) if let Some(limit) = limit => bail!("cannot compile the {what}: {limit} ({ended})"),
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

/// Reaps it, and kills it if it does not end by itself.
async fn end(child: &mut Child) -> io::Result<ExitStatus> {
    if let Ok(status) = timeout(EXIT_TIMEOUT, child.wait()).await {
        return status;
    }
    let _ = child.kill().await;
    child.wait().await
}

/// The limit that ended it, if one did.
fn passed(status: ExitStatus, cpu_limit: Duration) -> Option<String> {
    match exit::ended_by(status)? {
        "SIGXCPU" => {
            let cpu = humantime::format_duration(cpu_limit);
            Some(format!(
                "that takes more than {cpu} of CPU time, the most that compiling may take (`compile-time`)"
            ))
        }
        // What finds no memory, or no more stack, aborts.
        "SIGABRT" | "SIGSEGV" | "SIGBUS" => {
            let memory = ByteSize(MEMORY_LIMIT).display().iec();
            Some(format!(
                "that takes more than {memory} of memory, the most that compiling may take, or too much stack"
            ))
        }
        "SIGKILL" => Some("its compiler was killed, as the system does when memory runs out".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn limits_as_a_table() {
        for (raw, expected) in [
            (24, Some("more than 2m of CPU time")),
            (6, Some("more than 2.0 GiB of memory, the most that")),
            (11 | 0x80, Some("too much stack")),
            (9, Some("when memory runs out")),
            (15, None),
            (1 << 8, None),
            (0, None),
        ] {
            let said = passed(ExitStatus::from_raw(raw), Duration::from_secs(120));
            assert_eq!(said.is_some(), expected.is_some(), "{raw}: {said:?}");
            assert!(said.is_none_or(|said| said.contains(expected.unwrap_or_default())), "{raw}");
        }
    }
}
