//! One job as calls of the guest.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use wasmtime::{AsContextMut as _, component::Accessor};

use super::{
    Failure, IncomingRequest, Job, Messenger, Reply, Response,
    guest::{Exports, Http, Version},
    handles,
    http::{self, InFlight},
    store::State,
};
use crate::{cluster::AskError, sys::priority::worked};

/// What the calls of one instance share.
pub(super) struct Calls {
    pub(super) http: Option<Http>,
    pub(super) exports: Exports,
    pub(super) in_flight: InFlight,
    pub(super) messenger: Arc<dyn Messenger>,
}

/// Calls one function of one interface, in the version that the component has; `None` where it has
/// neither.
macro_rules! call {
    ($exported:expr, $accessor:expr, $function:ident($($argument:expr),*)) => {
        match &$exported {
            Some(Version::V02(guest)) => Some(guest.$function($accessor, $($argument),*).await?),
            Some(Version::V03(guest)) => Some(guest.$function($accessor, $($argument),*).await?),
            None => None,
        }
    };
}

impl Calls {
    /// `lifecycle.start`.
    ///
    /// # Errors
    ///
    /// A trap. The guest's own error is the inner one.
    pub(super) async fn start(&self, accessor: &Accessor<State>) -> wasmtime::Result<Result<(), String>> {
        Ok(call!(self.exports.lifecycle, accessor, call_start()).unwrap_or(Ok(())).map_err(cut))
    }

    /// Answers one request.
    ///
    /// # Errors
    ///
    /// A trap, after which the instance is beyond use.
    pub(super) async fn serve(
        &self,
        accessor: &Accessor<State>,
        request: IncomingRequest,
        reply: Reply<Result<Response, Failure>>,
    ) -> wasmtime::Result<()> {
        match &self.http {
            Some(http) => http::call(accessor, http, request, &self.in_flight, reply).await,
            None => {
                let _ = reply.send(Err(Failure::NoResponse("the component answers no HTTP".to_owned())));
                Ok(())
            }
        }
    }

    /// Does one job.
    ///
    /// # Errors
    ///
    /// A trap, after which the instance is beyond use.
    pub(super) async fn run(&self, accessor: &Accessor<State>, job: Job) -> wasmtime::Result<()> {
        match job {
            Job::ClusterReady => {
                call!(self.exports.lifecycle, accessor, call_cluster_ready());
            }
            Job::ProcessesChanged(list) => {
                let list = list.into_iter();
                match &self.exports.lifecycle {
                    Some(Version::V02(guest)) => {
                        guest.call_processes_changed(accessor, list.map(Into::into).collect()).await?;
                    }
                    Some(Version::V03(guest)) => {
                        guest.call_processes_changed(accessor, list.map(Into::into).collect()).await?;
                    }
                    None => {}
                }
            }
            Job::Message(message) => {
                let taken = Taken { messenger: &*self.messenger, bytes: message.queued_bytes() };
                // It is copied into the guest's memory.
                worked(message.data.len());
                call!(self.exports.receiver, accessor, call_on_message(message.into()));
                drop(taken);
            }
            // Nobody waits for the answer any more.
            Job::Question { reply, .. } if reply.is_closed() => {}
            Job::Question { question, reply } => {
                let answer = call!(self.exports.responder, accessor, call_on_request(question.into()));
                let _ = reply.send(match answer {
                    Some(Ok(data)) => Ok(Bytes::from(data)),
                    Some(Err(why)) => Err(AskError::Failed(cut(why))),
                    None => Err(AskError::NoResponder),
                });
            }
            Job::Task { name, payload, reply } => {
                let begun = Instant::now();
                let payload = payload.map(Vec::from);
                let result = call!(self.exports.task, accessor, call_run(name, payload));
                let result =
                    result.unwrap_or_else(|| Err("the component exports no task".to_owned())).map_err(cut);
                let _ = reply.send((begun.elapsed(), result));
            }
            Job::CountHandles { reply } => {
                let _ = reply.send(accessor.with(|mut store| handles::count(store.as_context_mut())));
            }
            Job::Stop => {
                call!(self.exports.lifecycle, accessor, call_stop());
            }
        }
        Ok(())
    }
}

/// The most bytes of a guest's own words about a failure.
const MAX_WHY: usize = 4 * 1024;

fn cut(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(MAX_WHY));
    why
}

/// Gives a message's room in the queue back, however its call ends.
struct Taken<'a> {
    messenger: &'a dyn Messenger,
    bytes: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.messenger.consumed(self.bytes);
    }
}
