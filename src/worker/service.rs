//! One request: within its bounds, through the gate, to the guest, and back with a response whatever
//! happens.
//!
//! ```text
//!   head ── 413, 431        body ── 413, 408          gate ── 503
//!     └────> guest ──> response
//!              ├── trapped 500, computed for too long 504, late 504 (or 408: its client is)
//!              └── bystander: once more where that changes nothing, else 503
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, StatusCode, Version, header, request::Parts};
use hyper::body::{Body as _, Incoming};
use tokio::{sync::oneshot, time::timeout_at};

use crate::cluster::Limit;
use crate::host::{
    BodyFailure, BodyLimits, Busy, Failure, Handle, IncomingRequest, PerRequest, RequestBody, Response,
    ResponseBody, Upload,
};
use crate::ipc::{
    blackbox::BlackBox,
    counters::{Connected, Counters},
};

/// The most fields of a request's head. In HTTP/1 it is hyper's own bound, where any other would cost
/// each request something; in HTTP/2 hyper does not count.
const MAX_HEADERS: usize = 100;

/// Who answers.
pub(super) enum Handler {
    /// The long-lived instance.
    Resident(Handle),
    /// A fresh one each time.
    PerRequest(PerRequest),
}

/// What a service is made of.
pub(super) struct Options {
    /// Who answers.
    pub(super) handler: Handler,
    /// From a request to the head of its response.
    pub(super) timeout: Duration,
    /// Does a request that does not end hold back all others?
    pub(super) serial: bool,
    /// What clients may send.
    pub(super) body: BodyLimits,
    /// Where requests are noted.
    pub(super) blackbox: Arc<BlackBox>,
    /// Where they are counted.
    pub(super) counters: Arc<Counters>,
}

/// What every connection of a worker serves.
pub(super) struct Service {
    options: Options,
}

impl Service {
    pub(super) fn new(options: Options) -> Self {
        Self { options }
    }

    /// Answers.
    pub(super) async fn serve(&self, request: Request<Incoming>) -> Response {
        // The one look at the clock for all that begins here.
        let now = Instant::now();
        let counted = self.options.counters.begin(now);
        let _noted = self.options.blackbox.request(request.method().as_str(), request.uri().path(), now);
        // Of HTTP/2, hyper would send a guest's body also where there must be none.
        let is_bare = request.method() == Method::HEAD && request.version() == Version::HTTP_2;
        let response = self.check(request, now + self.options.timeout).await;
        counted.answered(response.status().as_u16(), Instant::now());
        if is_bare { response.map(|_| ResponseBody::Full(None)) } else { response }
    }

    /// Answers a request that comes from inside, and has no body. It is no client's, and not counted among
    /// requests and responses; where it is refused or run again, that is counted, as it tells of the guest.
    pub(super) async fn inside(&self, parts: Parts) -> Response {
        let now = Instant::now();
        let _noted = self.options.blackbox.request(parts.method.as_str(), parts.uri.path(), now);
        let (version, by) = (parts.version, now + self.options.timeout);
        self.answer(version, Request::from_parts(parts, RequestBody::Empty), None, by).await
    }

    /// How many have come.
    pub(super) fn requests(&self) -> u64 {
        self.options.counters.requests()
    }

    /// Counts a connection for as long as it is kept.
    pub(super) fn connected(&self) -> Connected {
        self.options.counters.connected()
    }

    /// A connection came to a limit.
    pub(super) fn hit(&self, limit: Limit) {
        self.options.counters.hit(limit);
    }

    async fn check(&self, request: Request<Incoming>, by: Instant) -> Response {
        let (parts, body) = request.into_parts();
        let (version, limits) = (parts.version, self.options.body);
        if parts.headers.len() > MAX_HEADERS {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return refusal(version, status, "the request has too many headers\n");
        }
        if body.is_end_stream() {
            let request = Request::from_parts(parts, RequestBody::Empty);
            return self.answer(version, request, None, by).await;
        }
        if limits.size.is_some_and(|most| body.size_hint().lower() > most) {
            return self.body_failed(version, BodyFailure::TooLarge);
        }
        let (body, upload) = RequestBody::of_client(body, limits);
        self.answer(version, Request::from_parts(parts, body), Some(upload), by).await
    }

    async fn answer(
        &self,
        version: Version,
        request: IncomingRequest,
        upload: Option<Upload>,
        by: Instant,
    ) -> Response {
        let mut upload = upload;
        match timeout_at(by.into(), self.run(version, request, upload.as_mut())).await {
            Ok(response) => response,
            Err(_) => self.late(version, upload.as_ref()),
        }
    }

    /// Runs it, and once more where another request ended its instance.
    async fn run(&self, version: Version, request: IncomingRequest, upload: Option<&mut Upload>) -> Response {
        let (mut request, mut upload, mut may_repeat) = (request, upload, true);
        loop {
            let (reply, response) = oneshot::channel();
            if self.hand_over(request, reply).is_err() {
                self.options.counters.refused();
                self.unstick();
                return retry(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait\n", "1");
            }
            let result = match &mut upload {
                None => response.await,
                Some(upload) => tokio::select! {
                    // What the guest answers to a body that fails is not what ails it.
                    biased;
                    Ok(failure) = &mut upload.failed => return self.body_failed(version, failure),
                    result = response => result,
                },
            };
            match result {
                Ok(Ok(response)) => return response,
                Ok(Err(Failure::Bystander(Some(same)))) if may_repeat => {
                    may_repeat = false;
                    request = *same;
                    let sum = self.options.counters.repeated();
                    tracing::debug!(
                        "{} {} is run again, since its instance was replaced; {sum} so far",
                        request.method(),
                        request.uri().path()
                    );
                }
                Ok(Err(failure)) => return failed(&failure),
                // The guest can't go on at all.
                Err(_) => return failed(&Failure::Bystander(None)),
            }
        }
    }

    fn hand_over(
        &self,
        request: IncomingRequest,
        reply: oneshot::Sender<Result<Response, Failure>>,
    ) -> Result<(), Busy> {
        match &self.options.handler {
            Handler::Resident(handle) => handle.serve(request, reply),
            Handler::PerRequest(instances) => instances.serve(request, reply),
        }
    }

    fn late(&self, version: Version, upload: Option<&Upload>) -> Response {
        let limit = humantime::format_duration(self.options.timeout);
        self.options.counters.hit(Limit::Request);
        tracing::warn!("a request was not answered within {limit} (`request-timeout`)");
        // What the guest does not end keeps its place in it, also when its client has its answer.
        if self.options.serial || self.has_waiting() {
            self.unstick();
        }
        if upload.is_some_and(Upload::is_awaited) {
            return self.body_failed(version, BodyFailure::TooSlow);
        }
        plain(StatusCode::GATEWAY_TIMEOUT, "the guest did not answer in time\n")
    }

    fn body_failed(&self, version: Version, failure: BodyFailure) -> Response {
        match failure {
            BodyFailure::TooLarge => self.options.counters.hit(Limit::BodySize),
            BodyFailure::TooSlow => self.options.counters.hit(Limit::BodyTimeout),
        }
        body_failed(version, failure)
    }

    fn has_waiting(&self) -> bool {
        matches!(&self.options.handler, Handler::Resident(handle) if handle.has_waiting())
    }

    /// Requests are under way and others wait: an instance in which none has ended for so long has to
    /// go.
    fn unstick(&self) {
        if let Handler::Resident(handle) = &self.options.handler
            && handle.is_stuck(self.options.timeout)
        {
            handle.give_up();
        }
    }
}

fn failed(failure: &Failure) -> Response {
    match failure {
        Failure::Trapped => plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest trapped\n"),
        Failure::CpuLimit => plain(StatusCode::GATEWAY_TIMEOUT, "the guest computed for too long\n"),
        Failure::Bystander(_) => retry(StatusCode::SERVICE_UNAVAILABLE, "the instance was replaced\n", "0"),
        Failure::NoResponse(why) => {
            tracing::error!("the guest gave no response: {why}");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the guest gave no response\n")
        }
        Failure::NoHost => plain(StatusCode::BAD_REQUEST, "the request has no valid host\n"),
    }
}

fn body_failed(version: Version, failure: BodyFailure) -> Response {
    match failure {
        BodyFailure::TooLarge => {
            refusal(version, StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large\n")
        }
        BodyFailure::TooSlow => {
            refusal(version, StatusCode::REQUEST_TIMEOUT, "the request's body did not come in time\n")
        }
    }
}

/// What of the request was not read is not going to be: of HTTP/1, the connection ends with it.
fn refusal(version: Version, status: StatusCode, text: &'static str) -> Response {
    let mut response = plain(status, text);
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
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
