//! A guest's WASI context: environment, folders, output. No network but `wasi:http`, no arguments,
//! no standard input.

use anyhow::Context as _;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::{
    output::{Output, Stream},
    store::{Settings, Writes},
};

pub(super) fn context(settings: &Settings) -> anyhow::Result<WasiCtx> {
    let capabilities = &settings.capabilities;
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    wasi.stdout(Output::new(Stream::Stdout)).stderr(Output::new(Stream::Stderr));
    for (name, value) in &capabilities.environment {
        wasi.env(name, value);
    }
    for (name, value) in &settings.secrets {
        wasi.env(name, value.expose());
    }
    for folder in &capabilities.folders {
        let is_writable = folder.writable && settings.writes == Writes::AsGranted;
        let permissions = if is_writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        wasi.preopened_dir(&folder.source, &folder.destination, permissions)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("cannot open the folder {}", folder.source.display()))?;
    }
    Ok(wasi.build())
}
