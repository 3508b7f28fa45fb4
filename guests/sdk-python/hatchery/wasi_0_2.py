"""HTTP on WASI 0.2, where nothing waits but the instance as a whole."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import wasi_http_types as types
from wit_world.imports.streams import StreamError_Closed

from .http import Request, Response, method_of

# What `wasi:io` takes in one blocking write.
MAX_WRITE = 4096
MAX_READ = 65536


def run(body: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function of an async one that never really waits."""

    @functools.wraps(body)
    def plain(*arguments: Any) -> Any:
        coroutine = body(*arguments)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        coroutine.close()
        raise RuntimeError("on WASI 0.2 a guest can await nothing but the SDK's own functions")

    return plain


def handler_of(handle: Callable[[Request], Awaitable[Response]]) -> dict[str, type]:
    async def serve(incoming: Any, out: Any) -> None:
        with incoming.headers() as fields:
            headers = fields.entries()

        async def read() -> bytes:
            return _body(incoming)

        request = Request(method_of(incoming.method()), incoming.path_with_query() or "/", headers, read)
        response = await handle(request)
        raw = types.OutgoingResponse(types.Fields.from_list(response.headers))
        raw.set_status_code(response.status)
        body = raw.body()
        types.ResponseOutparam.set(out, Ok(raw))
        with body.write() as stream:
            for at in range(0, len(response.body), MAX_WRITE):
                stream.blocking_write_and_flush(response.body[at:at + MAX_WRITE])
        types.OutgoingBody.finish(body, None)

    class IncomingHandler(exports.IncomingHandler):
        def handle(self, request: Any, response_out: Any) -> None:
            run(serve)(request, response_out)

    return {"IncomingHandler": IncomingHandler}


def _body(incoming: Any) -> bytes:
    parts = []
    with incoming.consume() as body, body.stream() as stream:
        while True:
            try:
                parts.append(stream.blocking_read(MAX_READ))
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return b"".join(parts)
                raise
