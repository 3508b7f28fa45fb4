//! A request that may be run again, should its instance end before it answered.
//!
//! Kept beside each such request while its guest has it, so it is made of counted references only.

use http::{Method, Uri, uri};
use wasmtime_wasi_http::FieldMap;

use super::{IncomingRequest, RequestBody};

/// What it takes to make a request once more.
pub(super) struct Kept {
    pub(super) method: Method,
    pub(super) authority: uri::Authority,
    pub(super) path: Option<uri::PathAndQuery>,
    /// Without those that a guest is not shown, `host` among them.
    pub(super) headers: FieldMap,
}

/// May it be run twice? Only where that changes nothing.
pub(super) fn is_repeatable(method: &Method, body: &RequestBody) -> bool {
    matches!(body, RequestBody::Empty) && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

impl Kept {
    /// The request, as it was; its authority is now in its target.
    pub(super) fn request(self) -> Option<IncomingRequest> {
        let target = Uri::builder().scheme(uri::Scheme::HTTP).authority(self.authority);
        let target = target.path_and_query(self.path.unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
        let mut request = http::Request::new(RequestBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = target.build().ok()?;
        *request.headers_mut() = self.headers.into();
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi_http::default_hooks;

    use super::*;

    #[test]
    fn a_request_comes_back_as_it_was() {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-one", http::HeaderValue::from_static("1"));
        headers.append("x-one", http::HeaderValue::from_static("2"));
        for path in ["/a?b=c", "*", "/"] {
            let kept = Kept {
                method: Method::OPTIONS,
                authority: uri::Authority::from_static("host:1"),
                path: Some(uri::PathAndQuery::from_static(path)),
                headers: FieldMap::new_immutable(default_hooks(), headers.clone()),
            };
            let request = kept.request().expect("is whole");
            let target = (request.uri().authority(), request.uri().path_and_query());
            assert_eq!(target.0.map(uri::Authority::as_str), Some("host:1"));
            assert_eq!(target.1.map(uri::PathAndQuery::as_str), Some(path));
            assert_eq!(request.method(), Method::OPTIONS);
            assert_eq!(request.headers(), &headers);
        }
    }

    #[test]
    fn only_what_changes_nothing_is_run_again() {
        for (method, expected) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::POST, false),
            (Method::TRACE, false),
        ] {
            assert_eq!(is_repeatable(&method, &RequestBody::Empty), expected, "{method}");
        }
    }
}
