//! A guest's WASI context: environment, folders, output. No network but `wasi:http` (a guest that asks for a
//! socket gets `access-denied`: its process has no network, and a broker gives HTTP alone), no arguments,
//! no standard input.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use super::{
    output::{Output, Stream},
    store::Writes,
};
use crate::manifest::{Capabilities, Secrets};

pub(super) fn context(
    capabilities: &Capabilities,
    secrets: &Secrets,
    writes: Writes,
) -> anyhow::Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    wasi.stdout(Output::new(Stream::Stdout)).stderr(Output::new(Stream::Stderr));
    for (name, value) in &capabilities.environment {
        wasi.env(name, value);
    }
    for (name, value) in secrets {
        wasi.env(name, value.expose());
    }
    for folder in &capabilities.folders {
        let is_writable = folder.writable && writes == Writes::AsGranted;
        let permissions = if is_writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        is_itself(&folder.source)
            .with_context(|| format!("cannot open the folder {}", folder.source.display()))?;
        wasi.preopened_dir(&folder.source, &folder.destination, permissions)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("cannot open the folder {}", folder.source.display()))?;
    }
    Ok(wasi.build())
}

/// Sources have no links, and no guest may write beside one: a link would be somebody's trick, and lead to
/// what the guest was not given.
fn is_itself(folder: &Path) -> io::Result<()> {
    if fs::symlink_metadata(folder)?.is_symlink() {
        return Err(io::Error::other("a link has taken its place; deploy or start the app again"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use wasmtime::component::ResourceTable;
    use wasmtime_wasi::{
        p2::bindings::sockets::{
            network::{ErrorCode, IpAddressFamily},
            tcp_create_socket::Host as _,
            udp_create_socket::Host as _,
        },
        sockets::WasiSocketsCtxView,
    };

    use super::*;
    use crate::manifest::Folder;

    fn granted(capabilities: &Capabilities) -> anyhow::Result<WasiCtx> {
        context(capabilities, &Secrets::default(), Writes::AsGranted)
    }

    /// Both versions of `wasi:sockets` are made of the same sockets in wasmtime.
    #[tokio::test]
    async fn a_guest_gets_no_socket() {
        let mut wasi = granted(&Capabilities::default()).unwrap();
        let mut table = ResourceTable::new();
        let mut sockets = WasiSocketsCtxView { ctx: wasi.sockets(), table: &mut table };
        for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
            let tcp = sockets.create_tcp_socket(family).unwrap_err().downcast().unwrap();
            let udp = sockets.create_udp_socket(family).await.unwrap_err().downcast().unwrap();
            assert_eq!((tcp, udp), (ErrorCode::AccessDenied, ErrorCode::AccessDenied));
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("free");
        let capabilities = Capabilities {
            folders: vec![Folder { source: source.clone(), destination: "/free".to_owned(), writable: true }],
            ..Capabilities::default()
        };
        fs::create_dir(&source).unwrap();
        granted(&capabilities).unwrap();
        fs::remove_dir(&source).unwrap();
        symlink("/", &source).unwrap();
        let error = granted(&capabilities).err().map(|error| format!("{error:#}")).unwrap();
        assert!(error.contains("a link has taken its place"), "{error}");
    }
}
