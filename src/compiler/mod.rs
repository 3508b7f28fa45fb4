//! The compiler child: compiles one component and ends. Nothing else in a cluster compiles.
//!
//! A component can be made so that compiling it takes for ever, and all memory: the child caps its own
//! CPU time, memory and room before it reads anything, and the master its time. One could also be made so
//! that it takes the child over: it has no file, no key and no cache, only the memory that it writes its
//! code to, which the master takes for no other component than this one.

mod lie;

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    digest::Digest,
    host::{self, Engine, Native, Purpose, Wasi},
    ipc::compile::{
        Answer, CODE_LIMIT, Code, CompileReply, CompileRequest, MAX_PACKET, MEMORY_LIMIT, Report,
    },
    sys::{fd_socket::FdSocket, inherit, limits, name, parent, priority, sandbox},
};

/// Does what the master asks for.
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
    limits::cap_file_size(CODE_LIMIT).context("cannot cap what this process writes")?;
    sandbox::tell();
    let socket = FdSocket::from_fd(control)?;
    let mut packet = vec![0; MAX_PACKET];
    let Some((length, code)) = socket.recv(&mut packet).await? else { return Ok(()) };
    let reply: CompileReply = match (postcard::from_bytes(&packet[..length])?, code) {
        (CompileRequest::Settings, _) => {
            Engine::new(Purpose::Compile).map(|engine| Answer::Settings(host::settings(&engine)))
        }
        (CompileRequest::Compile { name, cpu_limit }, Some(code)) => compile(&name, cpu_limit, code.into()),
        (CompileRequest::Compile { .. }, None) => {
            Err(anyhow::anyhow!("the master gave no room for its code"))
        }
    }
    .map_err(|error| format!("{error:#}"));
    let mut packet = postcard::to_stdvec(&reply)?;
    if packet.len() > MAX_PACKET {
        let reply: CompileReply =
            Err(format!("the component's list of imports and exports is longer than {MAX_PACKET} bytes"));
        packet = postcard::to_stdvec(&reply)?;
    }
    socket.send(&packet, None).await?;
    lie::after_the_reply();
    Ok(())
}

fn compile(name: &Path, cpu_limit: Duration, to: File) -> anyhow::Result<Answer> {
    let component = inherit::take(inherit::COMPONENT_FD).context("no component was handed over")?;
    // Before anything of it is read.
    limits::cap_cpu(cpu_limit).context("cannot cap this process's CPU time")?;
    let wasm = read(component)?;
    let native = Engine::new(Purpose::Compile).and_then(|engine| host::compile(&engine, &wasm, name))?;
    drop(wasm);
    let code = write(&native, to)?;
    let report = Report {
        wasi: match native.wasi {
            Wasi::P2 => "0.2".to_owned(),
            Wasi::P3 => "0.3".to_owned(),
        },
        exports: native.exports,
        imports: native.imports,
        answers_http: native.answers_http,
    };
    Ok(Answer::Compiled { report, code })
}

fn read(component: OwnedFd) -> anyhow::Result<Vec<u8>> {
    let (mut wasm, mut file) = (vec![], File::from(component));
    // The master wrote it through the same open file.
    file.rewind()?;
    file.read_to_end(&mut wasm).context("cannot read the component")?;
    Ok(wasm)
}

fn write(native: &Native, mut to: File) -> anyhow::Result<Code> {
    if native.code.len() as u64 > CODE_LIMIT {
        let (has, most) = (native.code.len() >> 20, CODE_LIMIT >> 20);
        anyhow::bail!("its native code has {has} MiB, and {most} MiB are the most that a component may have");
    }
    let code = lie::about(&native.code, &mut to);
    to.write_all(code).context("cannot write native code")?;
    lie::keep(to);
    Ok(Code { digest: Digest::of(&native.code), bytes: native.code.len() as u64 })
}
