//! A compiler: a child that lives for one request. `compile` asks for it. It may crash, hang or lie without
//! harm: it has limits of CPU time, memory and room (which it sets itself), and of time, and who passes one is
//! told which.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytesize::ByteSize;
use tokio::time::timeout;

use super::{
    exit,
    groups::{self, put_beside},
    helpers::{self, Helper},
    isolation, status,
};
use crate::{
    cluster::Role,
    digest::Digest,
    ipc::compile::{Answer, Code, CompileReply, CompileRequest, MAX_PACKET, MEMORY_LIMIT, Report},
    log,
    sys::{
        cgroup::AppLimits,
        fd_socket::FdSocket,
        inherit::{COMPONENT_FD, CONTROL_FD},
        spawn::{Spawn, spawn},
    },
};

/// The longest that a compiler may take: more than its CPU time, since others want the CPUs too.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest that it may take to say its settings.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(30);

/// What is to be compiled.
pub(super) struct Task<'a> {
    /// Whose component it is.
    pub(super) app: &'a str,
    /// What the component is to be.
    pub(super) role: Role,
    /// `worker of cache (/path/of/its.wasm)`, for errors.
    pub(super) what: &'a str,
    /// The file, for errors.
    pub(super) name: &'a Path,
    /// The CPU time that it may take.
    pub(super) cpu_limit: Duration,
    /// What its app may have altogether.
    pub(super) limits: Option<AppLimits>,
}

/// Whose work it does, and what that is, as `ps` shows it.
struct Work<'a> {
    app: Option<&'a str>,
    what: String,
    limits: Option<AppLimits>,
}

impl Task<'_> {
    /// Has `wasm`, a sealed memfd, compiled to `code`, an empty one. Gives what the compiler says of it when
    /// it has ended, or was killed since it did not.
    pub(super) async fn compile(&self, wasm: OwnedFd, code: OwnedFd) -> anyhow::Result<(Report, Code)> {
        let what = self.what;
        let request = CompileRequest::Compile { name: self.name.to_owned(), cpu_limit: self.cpu_limit };
        let fds = vec![(wasm, COMPONENT_FD)];
        let work = Work { app: Some(self.app), what: self.role.to_string(), limits: self.limits };
        let asked = ask(work, fds, &request, Some(code), COMPILE_TIMEOUT).await;
        let asked = asked.with_context(|| format!("cannot compile the {what}"))?;
        let Some((reply, status)) = asked else {
            let limit = humantime::format_duration(COMPILE_TIMEOUT);
            bail!(
                "cannot compile the {what}: that takes more than {limit}, the most that compiling may take"
            );
        };
        let limit = status.as_ref().ok().and_then(|status| passed(*status, self.cpu_limit));
        let ended = exit::reason(status);
        match reply {
            Ok(Some(Ok(Answer::Compiled { report, code }))) if report.is_bounded() => Ok((report, code)),
            Ok(Some(Ok(Answer::Compiled { .. }))) => {
                bail!("the compiler of the {what} reported names that no component has")
            }
            Ok(Some(Ok(Answer::Settings(_)))) => bail!("the compiler of the {what} gave another answer"),
            Ok(Some(Err(reason))) => bail!("cannot compile the {what}: {reason}"),
            Ok(None) | Err(_) if let Some(limit) = limit => {
                bail!("cannot compile the {what}: {limit} ({ended})")
            }
            Ok(None) => bail!("the compiler of the {what} ended without an answer ({ended})"),
            Err(error) => Err(error.context(format!("the compiler of the {what} failed ({ended})"))),
        }
    }
}

/// What this build compiles for.
pub(super) async fn settings() -> anyhow::Result<Digest> {
    let work = Work { app: None, what: "settings".to_owned(), limits: None };
    let asked = ask(work, vec![], &CompileRequest::Settings, None, SETTINGS_TIMEOUT).await?;
    let Some((reply, status)) = asked else {
        let limit = humantime::format_duration(SETTINGS_TIMEOUT);
        bail!("a compiler did not say its settings within {limit}");
    };
    match reply {
        Ok(Some(Ok(Answer::Settings(settings)))) => Ok(settings),
        Ok(Some(Err(reason))) => bail!("a compiler can't say its settings: {reason}"),
        Ok(_) => bail!("a compiler did not say its settings ({})", exit::reason(status)),
        Err(error) => Err(error.context("a compiler did not say its settings")),
    }
}

/// What came from it, `None` where that was nothing; and how it ended.
type Asked = (anyhow::Result<Option<CompileReply>>, io::Result<ExitStatus>);

/// Starts one, and waits for its answer and its end. `None`: it took too long, and was killed.
async fn ask(
    Work { app, what, limits: app_limits }: Work<'_>,
    fds: Vec<(OwnedFd, i32)>,
    request: &CompileRequest,
    code: Option<OwnedFd>,
    limit: Duration,
) -> anyhow::Result<Option<Asked>> {
    let (socket, theirs) = FdSocket::pair().context("cannot make a socket for a compiler")?;
    let pipes = helpers::line(status::Helper::Compiler, app, log::RATE);
    let (line, pipes) = pipes.context("cannot make pipes for a compiler")?;
    let mut child = spawn(Spawn {
        title: format!("hatchery: compiler {}{what}", app.map(|app| format!("{app} ")).unwrap_or_default()),
        args: super::arguments::of("compiler"),
        fds: [(theirs, CONTROL_FD)].into_iter().chain(pipes).chain(fds).collect(),
        sandbox: Some(isolation::compiler(app)),
    })
    .await
    .context("cannot start a compiler")?;
    let _listed = Helper::new(&child, line);
    let group = match (app, app_limits) {
        (Some(app), Some(limits)) => put_beside(groups::Work::Compiler, app, limits, child.id()).await,
        _ => None,
    };
    let Ok(reply) = timeout(limit, exchange(&socket, request, code)).await else {
        let _ = child.kill().await;
        return Ok(None);
    };
    let status = exit::ended(&mut child).await;
    if let Some(group) = group {
        group.ended().await;
    }
    Ok(Some((reply, status)))
}

/// One packet there, one back.
async fn exchange(
    socket: &FdSocket,
    request: &CompileRequest,
    code: Option<OwnedFd>,
) -> anyhow::Result<Option<CompileReply>> {
    let packet = postcard::to_stdvec(request).context("cannot encode a request")?;
    // One that ended at once is found by what it does not answer.
    let _ = socket.send(&packet, code.as_ref().map(|code| code.as_fd())).await;
    drop(code);
    let mut packet = vec![0; MAX_PACKET];
    // An fd that comes with it is closed: none was asked for.
    let Some((length, _)) = socket.recv(&mut packet).await.context("cannot read its answer")? else {
        return Ok(None);
    };
    postcard::from_bytes(&packet[..length]).map(Some).context("its answer is garbage")
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
