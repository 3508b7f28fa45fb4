//! What the SDK needs of the host, on WASI 0.3: the bindings, and the exports' way into the traits.
//! Public for the export macros only; nothing here is for guests to call.

pub mod bindings;
mod body;
mod cluster;
mod send;
mod serve;

pub use cluster::all;
pub use serve::{RawError, RawRequest, RawResponse, serve};
pub use wasip3;

pub(crate) use body::{Incoming, Outgoing};
pub(crate) use cluster::{app, broadcast, processes, send_random, send_to, send_to_agent, send_to_app, this};
pub(crate) use send::send;
pub use serve::IncomingRequest;

use crate::{Answer, AskError};
use bindings::hatchery::cluster::requests;
use std::future::Future;
use std::time::Duration;

/// Runs a future beside the call that spawns it, and on after that call has returned, as long as the
/// instance lives. A loop for the life of the process belongs into `start`.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    wasip3::spawn_local(future);
}

/// Waits; others run meanwhile.
pub async fn sleep(duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    wasip3::clocks::monotonic_clock::wait_for(nanos).await;
}

pub(crate) async fn ask_agent(action: &str, data: Vec<u8>, timeout: u64) -> Result<Vec<u8>, AskError> {
    Ok(requests::ask_agent(action.to_owned(), data, timeout).await?)
}

pub(crate) async fn ask(pid: u64, action: &str, data: Vec<u8>, timeout: u64) -> Result<Vec<u8>, AskError> {
    Ok(requests::ask(pid, action.to_owned(), data, timeout).await?)
}

pub(crate) async fn ask_app(
    action: &str,
    data: Vec<u8>,
    timeout: u64,
) -> Result<Vec<Answer<Vec<u8>>>, AskError> {
    Ok(cluster::answers(requests::ask_app(action.to_owned(), data, timeout).await?))
}

/// Exports the type `Export` over `wasi:http/handler@0.3`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_http {
    ($type:ty) => {
        impl $crate::host::wasip3::exports::http::handler::Guest for Export {
            async fn handle(
                request: $crate::host::RawRequest,
            ) -> ::std::result::Result<$crate::host::RawResponse, $crate::host::RawError> {
                let handle = |request| $crate::Worker::handle(Export::instance(), request);
                $crate::host::serve(request, handle).await
            }
        }

        $crate::host::wasip3::http::service::export!(Export with_types_in $crate::host::wasip3);
    };
}

/// Exports the type `Export` over the interfaces of `hatchery:cluster`, by the trait given.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_cluster {
    ($type:ty, $role:ident) => {
        use $crate::host::bindings::exports::hatchery::cluster as exports;

        impl exports::lifecycle::Guest for Export {
            async fn start() -> ::std::result::Result<(), String> {
                $crate::$role::start(Export::instance()).await.map_err(|e| e.to_string())
            }

            async fn cluster_ready() {
                $crate::$role::cluster_ready(Export::instance()).await;
            }

            async fn processes_changed(processes: Vec<exports::lifecycle::Process>) {
                let processes = $crate::host::all(processes);
                $crate::$role::processes_changed(Export::instance(), processes).await;
            }

            async fn stop() {
                $crate::$role::stop(Export::instance()).await;
            }
        }

        impl exports::receiver::Guest for Export {
            async fn on_message(message: exports::receiver::Message) {
                $crate::$role::on_message(Export::instance(), message.into()).await;
            }
        }

        impl exports::responder::Guest for Export {
            async fn on_request(
                request: exports::responder::Message,
            ) -> ::std::result::Result<Vec<u8>, String> {
                let answer = $crate::$role::on_request(Export::instance(), request.into());
                answer.await.map_err(|e| e.to_string())
            }
        }

        impl exports::task::Guest for Export {
            async fn run(
                name: String,
                payload: Option<Vec<u8>>,
            ) -> ::std::result::Result<(), String> {
                let run = $crate::$role::run_task(Export::instance(), name, payload);
                run.await.map_err(|e| e.to_string())
            }
        }

        $crate::host::bindings::export_cluster!(Export with_types_in $crate::host::bindings);
    };
}
