//! One HTTP request through a guest, in either WASI.
//!
//! Replies are kept outside the call, in [`InFlight`], because a trap ends all of a store's calls
//! at once: only the store can then tell which of them it was.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{header, uri};
use http_body::{Body, Frame, SizeHint};
use slab::Slab;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, GuestTaskId};
use wasmtime_wasi_http::{Error, FieldMap, WasiHttpView as _, p2, p3};

use super::{
    RequestBody, ResponseBody,
    again::{Kept, is_repeatable},
    guest::{Http, Version},
    store::{CpuLimit, State},
};

/// What a connection hands in.
pub type IncomingRequest = http::Request<RequestBody>;

/// What goes back to it.
pub type Response = http::Response<ResponseBody>;

/// Why a guest gave no response.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// This request trapped the instance.
    #[error("the guest trapped")]
    Trapped,
    /// This request computed for longer than `cpu-limit` without an await.
    #[error("the guest computed for too long")]
    CpuLimit,
    /// Another one did, or the instance had to go. With the request, where it may be run again.
    #[error("the instance ended before it answered")]
    Bystander(Option<Box<IncomingRequest>>),
    /// The handler returned, but set no response.
    #[error("the guest gave no response: {0}")]
    NoResponse(String),
    /// The request has no host, which a guest must be told.
    #[error("the request has no valid host")]
    NoHost,
}

type Sender = oneshot::Sender<Result<Response, Failure>>;

/// The requests that an instance has begun and not answered.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<Slab<Begun>>>);

struct Begun {
    task: GuestTaskId,
    reply: Sender,
    kept: Option<Kept>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Slab<Begun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, begun: Begun) -> usize {
        self.lock().insert(begun)
    }

    fn end(&self, key: usize, result: Result<Response, Failure>) {
        let begun = self.lock().try_remove(key);
        if let Some(begun) = begun {
            // Nobody to tell means that the client has gone.
            let _ = begun.reply.send(result);
        }
    }

    /// The store is beyond use, for something that one of `culprits` did.
    pub(super) fn trapped(&self, culprits: &[GuestTaskId], trap: &wasmtime::Error) {
        for (_, Begun { task, reply, kept }) in std::mem::take(&mut *self.lock()) {
            let failure = if !culprits.contains(&task) {
                Failure::Bystander(kept.and_then(Kept::request).map(Box::new))
            } else if trap.is::<CpuLimit>() {
                Failure::CpuLimit
            } else {
                Failure::Trapped
            };
            let _ = reply.send(Err(failure));
        }
    }
}

/// Calls the guest's handler.
///
/// # Errors
///
/// When the guest traps, or the store is beyond use. The reply has then not been sent.
pub(super) async fn call(
    accessor: &Accessor<State>,
    http: &Http,
    request: IncomingRequest,
    in_flight: &InFlight,
    reply: Sender,
) -> wasmtime::Result<()> {
    match http {
        Version::V02(handler) => call_p2(accessor, handler, request, in_flight, reply).await,
        Version::V03(handler) => call_p3(accessor, handler, request, in_flight, reply).await,
    }
}

async fn call_p3(
    accessor: &Accessor<State>,
    handler: &p3::bindings::exports::wasi::http::handler::Guest,
    request: IncomingRequest,
    in_flight: &InFlight,
    reply: Sender,
) -> wasmtime::Result<()> {
    let (parts, body) = request.into_parts();
    let Some(authority) = authority(&parts) else {
        let _ = reply.send(Err(Failure::NoHost));
        return Ok(());
    };
    let repeatable = is_repeatable(&parts.method, &body);
    let (call, processed, kept) = accessor.with(|mut store| {
        let http = store.data_mut().http();
        let path = parts.uri.into_parts().path_and_query;
        let headers = FieldMap::new_immutable(http.hooks, parts.headers);
        let kept = repeatable.then(|| Kept {
            method: parts.method.clone(),
            authority: authority.clone(),
            path: path.clone(),
            headers: headers.clone(),
        });
        let (request, processed) = p3::Request::new(
            parts.method,
            Some(uri::Scheme::HTTP),
            Some(authority),
            path,
            headers,
            None,
            body,
        );
        let request = http.table.push(request)?;
        let call = handler.func_handle().start_call_concurrent(store, (request,))?;
        wasmtime::error::Ok((call, processed, kept))
    })?;
    let key = in_flight.begin(Begun { task: call.task(), reply, kept });
    let (returned,) = handler.func_handle().finish_call_concurrent(accessor, call).await?;
    let result = match returned {
        Ok(response) => {
            let response = accessor.with(|mut store| {
                let response = store.data_mut().table.delete(response)?;
                response.into_http(store, processed)
            })?;
            Ok(response.map(|body| ResponseBody::Guest { body, gone: None }))
        }
        Err(code) => Err(Failure::NoResponse(format!("{code:?}"))),
    };
    in_flight.end(key, result);
    Ok(())
}

async fn call_p2(
    accessor: &Accessor<State>,
    handler: &p2::bindings::exports::wasi::http::incoming_handler::Guest,
    request: IncomingRequest,
    in_flight: &InFlight,
    reply: Sender,
) -> wasmtime::Result<()> {
    let (parts, body) = request.into_parts();
    if authority(&parts).is_none() {
        let _ = reply.send(Err(Failure::NoHost));
        return Ok(());
    }
    let request = http::Request::from_parts(parts, body);
    // The response may be set while the call runs, so that its body can stream.
    let key = Arc::new(Mutex::new(None));
    let unfinished = Unfinished::default();
    let call = accessor.with(|mut store| {
        let (replies, key, cut) = (in_flight.clone(), key.clone(), unfinished.cut.clone());
        let mut http = store.data_mut().http();
        let out = http.new_response_outparam_from_callback(move |result| {
            let result = result
                .map(|response| response.map(|body| ResponseBody::guest(Uncut { body, cut })))
                .map_err(|code| Failure::NoResponse(format!("{code:?}")));
            if let Some(key) = take(&key) {
                replies.end(key, result);
            }
        })?;
        let request = http.new_incoming_request(p2::bindings::http::types::Scheme::Http, request)?;
        handler.func_handle().start_call_concurrent(store, (request, out))
    })?;
    // It is alone in its instance: whatever ends that is its own doing, and it is not run again.
    let begun = in_flight.begin(Begun { task: call.task(), reply, kept: None });
    *key.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
    handler.func_handle().finish_call_concurrent(accessor, call).await?;
    unfinished.finished();
    if let Some(key) = take(&key) {
        in_flight.end(key, Err(Failure::NoResponse("the handler returned without setting one".to_owned())));
    }
    Ok(())
}

/// A call that is dropped before its end: its response's body is then not whole, though to
/// wasmtime-wasi-http it looks as if the guest had finished it.
#[derive(Default)]
struct Unfinished {
    cut: Arc<AtomicBool>,
    finished: bool,
}

impl Unfinished {
    fn finished(mut self) {
        self.finished = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            self.cut.store(true, Relaxed);
        }
    }
}

/// A WASI 0.2 body that fails, rather than ends, when its call was cut off.
struct Uncut<B> {
    body: B,
    cut: Arc<AtomicBool>,
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Uncut<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(None) if self.cut.load(Relaxed) => {
                let why = "the guest ended before its response did".to_owned();
                Poll::Ready(Some(Err(Error::InternalError(Some(why)))))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn take(key: &Mutex<Option<usize>>) -> Option<usize> {
    key.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The request's authority: from its target, or else its `Host`.
fn authority(parts: &http::request::Parts) -> Option<uri::Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    parts.headers.get(header::HOST)?.as_bytes().try_into().ok()
}
