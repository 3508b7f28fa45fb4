//! One request: through the gate, to the guest, and back with a response whatever happens.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderValue, StatusCode, header};
use tokio::{sync::oneshot, time::timeout};

use crate::host::{Failure, Handle, IncomingRequest, PerRequest, Response, ResponseBody};
use crate::ipc::blackbox::BlackBox;

/// Who answers.
pub(super) enum Handler {
    /// The long-lived instance.
    Resident(Handle),
    /// A fresh one each time.
    PerRequest(PerRequest),
}

/// What every connection of a worker serves.
pub(super) struct Service {
    handler: Handler,
    timeout: Duration,
    serial: bool,
    blackbox: Arc<BlackBox>,
    requests: AtomicU64,
}

impl Service {
    /// `serial`: a request that does not end holds back all others.
    pub(super) fn new(handler: Handler, timeout: Duration, serial: bool, blackbox: Arc<BlackBox>) -> Self {
        Self { handler, timeout, serial, blackbox, requests: AtomicU64::new(0) }
    }

    /// Answers.
    pub(super) async fn serve(&self, request: IncomingRequest) -> Result<Response, Infallible> {
        self.requests.fetch_add(1, Relaxed);
        let _noted = self.blackbox.request(request.method().as_str(), request.uri().path());
        let (reply, response) = oneshot::channel();
        let taken = match &self.handler {
            Handler::Resident(handle) => handle.serve(request, reply),
            Handler::PerRequest(instances) => instances.serve(request, reply),
        };
        if taken.is_err() {
            self.unstick();
            return Ok(retry(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait\n", "1"));
        }
        Ok(match timeout(self.timeout, response).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(failure))) => failed(&failure),
            Ok(Err(_)) => failed(&Failure::Bystander),
            Err(_) => self.late(),
        })
    }

    /// How many it was given.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    fn late(&self) -> Response {
        let limit = humantime::format_duration(self.timeout);
        tracing::warn!("a request was not answered within {limit} (`request-timeout`)");
        if self.serial {
            self.unstick();
        }
        plain(StatusCode::GATEWAY_TIMEOUT, "the guest did not answer in time\n")
    }

    /// Requests are under way and others wait: an instance in which none has ended for so long has to
    /// go.
    fn unstick(&self) {
        if let Handler::Resident(handle) = &self.handler
            && handle.is_stuck(self.timeout)
        {
            handle.give_up();
        }
    }
}

fn failed(failure: &Failure) -> Response {
    match failure {
        Failure::Trapped => plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest trapped\n"),
        Failure::CpuLimit => plain(StatusCode::GATEWAY_TIMEOUT, "the guest computed for too long\n"),
        Failure::Bystander => retry(StatusCode::SERVICE_UNAVAILABLE, "the instance was replaced\n", "0"),
        Failure::NoResponse(why) => {
            tracing::error!("the guest gave no response: {why}");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest gave no response\n")
        }
        Failure::NoHost => plain(StatusCode::BAD_REQUEST, "the request has no valid host\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn retry(status: StatusCode, text: &'static str, after: &'static str) -> Response {
    let mut response = plain(status, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(after));
    response
}
