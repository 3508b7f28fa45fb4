//! The compiler child: compiles one component and ends. Nothing else in a cluster compiles.
//!
//! A component can be made so that compiling it takes for ever, and all memory: the child caps its own
//! CPU time and memory before it reads anything, and the master its time.

use std::{os::fd::AsFd as _, time::Instant};

use anyhow::Context as _;

use crate::{
    host::{self, Engine, Purpose, Wasi},
    ipc::compile::{CompileReply, CompileRequest, MAX_PACKET, MEMORY_LIMIT, Report},
    sys::{fd_socket::FdSocket, inherit, limits, name, parent, priority, sandbox},
};

/// Compiles what the master asks for.
///
/// # Errors
///
/// When there is no master to ask or to tell. A component that does not compile is a reply.
pub async fn run(master: i32) -> anyhow::Result<()> {
    let control = inherit::take(inherit::CONTROL_FD)
        .context("`hatchery compiler` is started by the master, not by hand")?;
    parent::die_with_parent(master)?;
    name::set("hatchery-compiler")?;
    priority::give_way().context("cannot give way to other processes")?;
    limits::cap_data(MEMORY_LIMIT).context("cannot cap this process's memory")?;
    sandbox::tell();
    let socket = FdSocket::from_fd(control)?;
    let mut packet = vec![0; MAX_PACKET];
    let Some((length, _)) = socket.recv(&mut packet).await? else { return Ok(()) };
    let mut request: CompileRequest = postcard::from_bytes(&packet[..length])?;
    // Before anything of the component is read.
    limits::cap_cpu(request.cpu_limit).context("cannot cap this process's CPU time")?;
    // Folders only: the file keeps its name, which is in what users are told.
    request.cache = sandbox::place(&request.cache);
    let begun = Instant::now();
    let native = Engine::new(Purpose::Compile)
        .and_then(|engine| host::compile(&engine, &request.component, &request.cache));
    let (reply, code): (CompileReply, _) = match native {
        Ok(native) => {
            let report = Report {
                wasi: match native.wasi {
                    Wasi::P2 => "0.2".to_owned(),
                    Wasi::P3 => "0.3".to_owned(),
                },
                exports: native.exports,
                imports: native.imports,
                answers_http: native.answers_http,
                cached: native.cached,
                elapsed: begun.elapsed(),
                digest: native.digest,
            };
            (Ok(report), Some(native.code))
        }
        Err(error) => (Err(format!("{error:#}")), None),
    };
    let mut packet = postcard::to_stdvec(&reply)?;
    if packet.len() > MAX_PACKET {
        let reply: CompileReply =
            Err(format!("the component's list of imports and exports is longer than {MAX_PACKET} bytes"));
        packet = postcard::to_stdvec(&reply)?;
    }
    socket.send(&packet, code.as_ref().map(|code| code.as_fd())).await?;
    Ok(())
}
