//! Binding the apps' listeners, with errors that say what to do. `run` binds all before anything
//! starts, `app` a new address in a reload.

use std::net::TcpListener;

use crate::{
    manifest::{App, Worker},
    sys::listen,
};

/// All or none, in the apps' order; `None` for an app without workers.
pub(super) fn bind_all(apps: &[App]) -> anyhow::Result<Vec<Option<TcpListener>>> {
    let bind = |app: &App| app.worker.as_ref().map(|worker| bind(&app.name, worker)).transpose();
    apps.iter().map(bind).collect()
}

/// Where this worker is to listen.
pub(super) fn bind(app: &str, worker: &Worker) -> anyhow::Result<TcpListener> {
    listen::bind(worker.listen).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "address in use; choose another with --listen, or stop what has it"
            }
            std::io::ErrorKind::PermissionDenied => "not permitted; choose a port from 1024 up with --listen",
            std::io::ErrorKind::AddrNotAvailable => {
                "this host has no such address; choose another with --listen"
            }
            _ => "choose another address with --listen",
        };
        anyhow::Error::new(error).context(format!("cannot listen on {} for {app}: {hint}", worker.listen))
    })
}
