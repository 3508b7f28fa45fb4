//! `Hello, world` over `wasi:http/handler@0.3`, without anything of Hatchery's: it runs unchanged in
//! `wasmtime serve`, and it is what benchmarks measure, so it does no more than it must.

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
        // A host reads the body once it has the response, so the write comes after the return. What
        // `_sent` would say interests nobody here, and awaiting it costs another entry into the guest.
        spawn_local(async move {
            // What could not be written has no reader left: the client is gone.
            body.write_all(b"Hello, world".to_vec()).await;
            drop(body);
            let _ = trailers.write(Ok(None)).await;
        });
        Ok(response)
    }
}
