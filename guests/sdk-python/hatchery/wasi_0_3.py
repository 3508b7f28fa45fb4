"""HTTP on WASI 0.3, where many calls run at once."""

from collections.abc import Awaitable, Callable
from typing import Any

import componentize_py_async_support as tasks
import wit_world
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports import wasi_http_types as types

from .http import Request, Response, method_of

MAX_READ = 65536


def run(body: Callable[..., Any]) -> Callable[..., Any]:
    """Exports are async here."""
    return body


def handler_of(handle: Callable[[Request], Awaitable[Response]]) -> dict[str, type]:
    class Handler(exports.Handler):
        async def handle(self, request: Any) -> Any:
            with request.get_headers() as fields:
                headers = fields.copy_all()

            async def read() -> bytes:
                return await _body(request)

            target = request.get_path_with_query() or "/"
            return _send(await handle(Request(method_of(request.get_method()), target, headers, read)))

    return {"Handler": Handler}


async def _body(request: Any) -> bytes:
    _, done = wit_world.result_unit_wasi_http_types_error_code_future(lambda: Ok(None))
    stream, trailers = types.Request.consume_body(request, done)
    parts = []
    with trailers, stream:
        while not stream.writer_dropped:
            parts.append(await stream.read(MAX_READ))
    return b"".join(parts)


def _send(response: Response) -> Any:
    trailers, trailers_reader = (
        wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future(lambda: Ok(None))
    )
    fields = types.Fields.from_list(response.headers)
    # A write of nothing would wait for a reader that may not come.
    writer, body = wit_world.byte_stream() if response.body else (None, None)
    raw, sent = types.Response.new(fields, body, trailers_reader)
    raw.set_status_code(response.status)

    async def write() -> None:
        with sent:
            if writer:
                with writer:
                    await writer.write_all(response.body)
            # Left unwritten, the trailers would keep handles of the host.
            await trailers.write(Ok(None))

    # The body is read once the response is there, so it is written after the return.
    tasks.spawn(write())
    return raw
