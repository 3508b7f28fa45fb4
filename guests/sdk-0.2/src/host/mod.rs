//! What the SDK needs of the host, on WASI 0.2: the bindings, and the exports' way into the traits.
//! Public for the export macros only; nothing here is for guests to call.

pub mod bindings;
mod body;
#[path = "../../../sdk/src/host/cluster.rs"]
mod cluster;
mod run;
mod send;
mod serve;

pub use cluster::all;
pub use run::{run, spawn};
pub use serve::{IncomingRequest, RawOutparam, RawRequest, serve};
pub use wasip2;

pub(crate) use body::{Incoming, Outgoing};
pub(crate) use cluster::{app, broadcast, processes, send_random, send_to, send_to_agent, send_to_app, this};
pub(crate) use send::send;

use crate::{Answer, AskError};
use bindings::hatchery::cluster::requests;
use std::time::Duration;

/// Waits, and the whole instance with it.
pub async fn sleep(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    wasip2::clocks::monotonic_clock::subscribe_duration(nanos).block();
}

pub(crate) async fn ask_agent(action: &str, data: Vec<u8>, timeout: u64) -> Result<Vec<u8>, AskError> {
    Ok(requests::ask_agent(action, &data, timeout)?)
}

pub(crate) async fn ask(pid: u64, action: &str, data: Vec<u8>, timeout: u64) -> Result<Vec<u8>, AskError> {
    Ok(requests::ask(pid, action, &data, timeout)?)
}

pub(crate) async fn ask_app(
    action: &str,
    data: Vec<u8>,
    timeout: u64,
) -> Result<Vec<Answer<Vec<u8>>>, AskError> {
    Ok(cluster::answers(requests::ask_app(action, &data, timeout)?))
}

/// Exports the type `Export` over `wasi:http/incoming-handler@0.2`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_http {
    ($type:ty) => {
        impl $crate::host::wasip2::exports::http::incoming_handler::Guest for Export {
            fn handle(request: $crate::host::RawRequest, outparam: $crate::host::RawOutparam) {
                let handle = |request| $crate::Worker::handle(Export::instance(), request);
                $crate::host::run($crate::host::serve(request, outparam, handle));
            }
        }

        $crate::host::wasip2::http::proxy::export!(Export with_types_in $crate::host::wasip2);
    };
}

/// Exports the type `Export` over the interfaces of `hatchery:cluster`, by the trait given.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_cluster {
    ($type:ty, $role:ident) => {
        use $crate::host::bindings::exports::hatchery::cluster as exports;

        impl exports::lifecycle::Guest for Export {
            fn start() -> ::std::result::Result<(), String> {
                let start = $crate::$role::start(Export::instance());
                $crate::host::run(start).map_err(|e| e.to_string())
            }

            fn cluster_ready() {
                $crate::host::run($crate::$role::cluster_ready(Export::instance()));
            }

            fn processes_changed(processes: Vec<exports::lifecycle::Process>) {
                let processes = $crate::host::all(processes);
                let changed = $crate::$role::processes_changed(Export::instance(), processes);
                $crate::host::run(changed);
            }

            fn stop() {
                $crate::host::run($crate::$role::stop(Export::instance()));
            }
        }

        impl exports::receiver::Guest for Export {
            fn on_message(message: exports::receiver::Message) {
                let on_message = $crate::$role::on_message(Export::instance(), message.into());
                $crate::host::run(on_message);
            }
        }

        impl exports::responder::Guest for Export {
            fn on_request(
                request: exports::responder::Message,
            ) -> ::std::result::Result<Vec<u8>, String> {
                let answer = $crate::$role::on_request(Export::instance(), request.into());
                $crate::host::run(answer).map_err(|e| e.to_string())
            }
        }

        impl exports::task::Guest for Export {
            fn run(
                name: String,
                payload: Option<Vec<u8>>,
            ) -> ::std::result::Result<(), String> {
                let run = $crate::$role::run_task(Export::instance(), name, payload);
                $crate::host::run(run).map_err(|e| e.to_string())
            }
        }

        $crate::host::bindings::export_cluster!(Export with_types_in $crate::host::bindings);
    };
}
