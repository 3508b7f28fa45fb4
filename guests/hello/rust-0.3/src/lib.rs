//! `Hello, world` over `wasi:http/handler@0.3`, without anything of Hatchery's: it runs unchanged in
//! `wasmtime serve`, and it is what benchmarks measure, so it does no more than it must.

use std::future::poll_fn;
use std::task::Poll;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Hello;

wasip3::http::service::export!(Hello);

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::from_list(&[("content-type".to_owned(), b"text/plain".to_vec())])
            .map_err(|e| ErrorCode::InternalError(Some(format!("can't set headers: {e:?}"))))?;
        let (mut body, body_reader) = wit_stream::new();
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(body_reader), trailers_reader);
        let mut write = Box::pin(async move {
            // What could not be written has no reader left: the client is gone.
            body.write_all(b"Hello, world".to_vec()).await;
            drop(body);
            let _ = trailers.write(Ok(None)).await;
        });
        // A host that takes the body at once is done with the request in this one call. Others read
        // it when they have the response, so for them the rest is written after the return.
        if poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await.is_pending() {
            spawn_local(write);
        }
        Ok(response)
    }
}
