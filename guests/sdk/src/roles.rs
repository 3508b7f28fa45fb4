//! The two traits that a guest implements. `worker!` and `agent!` export them.
//!
//! An error from `handle` answers 500 and is printed to stderr; one from `start` means that the
//! process can't start; one from `on_request` or `run_task` goes to who asked.

use crate::cluster::Process;
use crate::{Error, Message, Request, Response, Result};

/// The component of an app's workers. Every method has a default, so write those you need.
#[expect(async_fn_in_trait, reason = "an instance has one thread; nothing needs Send")]
pub trait Worker: Default + 'static {
    /// Answers one HTTP request. On WASI 0.3 many run at once.
    async fn handle(&'static self, request: Request) -> Result<Response> {
        let _ = request;
        Ok(Response::text("not found\n").status(404))
    }

    /// Once per instance, before anything else; the process is ready when this returns.
    async fn start(&'static self) -> Result<()> {
        Ok(())
    }

    /// Once per process, when the whole app is ready.
    async fn cluster_ready(&'static self) {}

    /// Whenever a process becomes ready or goes away.
    async fn processes_changed(&'static self, processes: Vec<Process>) {
        let _ = processes;
    }

    /// Before the process ends in order, after its last request.
    async fn stop(&'static self) {}

    /// A message. Calls begin in order; one that awaits does not hold back the next.
    async fn on_message(&'static self, message: Message) {
        let _ = message;
    }

    /// A question; what this returns is the answer.
    async fn on_request(&'static self, request: Message) -> Result<Vec<u8>> {
        Err(Error::new(format_args!("no answer to `{}`", request.action)))
    }

    /// A `[[schedule]]` of the manifest came due.
    async fn run_task(&'static self, name: String, payload: Option<Vec<u8>>) -> Result<()> {
        let _ = payload;
        Err(Error::new(format_args!("no task `{name}`")))
    }
}

/// The component of an app's agent: a [`Worker`] without HTTP.
#[expect(async_fn_in_trait, reason = "an instance has one thread; nothing needs Send")]
pub trait Agent: Default + 'static {
    /// As [`Worker::start`]. The workers start only when this has returned: `spawn` what goes on.
    async fn start(&'static self) -> Result<()> {
        Ok(())
    }

    /// As [`Worker::cluster_ready`].
    async fn cluster_ready(&'static self) {}

    /// As [`Worker::processes_changed`].
    async fn processes_changed(&'static self, processes: Vec<Process>) {
        let _ = processes;
    }

    /// As [`Worker::stop`].
    async fn stop(&'static self) {}

    /// As [`Worker::on_message`].
    async fn on_message(&'static self, message: Message) {
        let _ = message;
    }

    /// As [`Worker::on_request`].
    async fn on_request(&'static self, request: Message) -> Result<Vec<u8>> {
        Err(Error::new(format_args!("no answer to `{}`", request.action)))
    }

    /// As [`Worker::run_task`].
    async fn run_task(&'static self, name: String, payload: Option<Vec<u8>>) -> Result<()> {
        let _ = payload;
        Err(Error::new(format_args!("no task `{name}`")))
    }
}
