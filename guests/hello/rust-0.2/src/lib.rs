//! `Hello, world` over `wasi:http/incoming-handler@0.2`, without anything of Hatchery's: it runs
//! unchanged in `wasmtime serve`.

use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(_request: IncomingRequest, outparam: ResponseOutparam) {
        let headers = match Fields::from_list(&[("content-type".to_owned(), b"text/plain".to_vec())]) {
            Ok(headers) => headers,
            Err(e) => {
                let e = ErrorCode::InternalError(Some(format!("can't set headers: {e:?}")));
                return ResponseOutparam::set(outparam, Err(e));
            }
        };
        let response = OutgoingResponse::new(headers);
        let body = response.body();
        ResponseOutparam::set(outparam, Ok(response));
        let Ok(body) = body else { return };
        let Ok(stream) = body.write() else { return };
        // Failing here means that the client is gone, and there is nobody left to tell.
        if stream.blocking_write_and_flush(b"Hello, world").is_ok() {
            drop(stream);
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
