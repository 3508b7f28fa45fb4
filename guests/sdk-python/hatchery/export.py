"""`@component` makes a component's exports of a class. What a method raises is printed with its traceback;
for a request it is also a 500, for a question and a task the other side hears its text.
"""

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from componentize_py_types import Err
from wit_world import exports

from . import live
from .cluster import process_of
from .http import Request, Response
from .message import data_of, message_of

# The generated bindings say which WASI this is.
if hasattr(exports, "IncomingHandler"):
    from .wasi_0_2 import handler_of, run
else:
    from .wasi_0_3 import handler_of, run


def component(guest: type) -> type:
    """The class whose one object is the worker or the agent. Each of its methods may be there or not, and
    may be `def` or `async def`:

    handle(request) -> Response; start(); cluster_ready(); processes_changed(processes); stop();
    on_message(message); on_request(message) -> answer; run_task(name, payload)
    """
    global _calls
    if _calls is not None:
        # Run again, by `live`: the exports are there.
        _calls.guest = guest()
        return guest
    calls = _calls = _Calls(guest)
    module = sys.modules[guest.__module__]
    for name, export in {**_exports(calls), **handler_of(calls.handle)}.items():
        setattr(module, name, export)
    return guest


class _Calls:
    """The guest's one object, and calls of its methods."""

    def __init__(self, guest: type) -> None:
        self.guest = guest()

    async def call(self, name: str, *arguments: Any) -> Any:
        result = getattr(self.guest, name)(*arguments)
        return await result if inspect.isawaitable(result) else result

    async def optional(self, name: str, *arguments: Any) -> Any:
        return await self.call(name, *arguments) if hasattr(self.guest, name) else None

    async def told(self, name: str, *arguments: Any) -> Any:
        """With a failure told to who called, as text."""
        return await self.told_of(functools.partial(self.call, name, *arguments))

    async def told_of(self, what: Callable[[], Any]) -> Any:
        try:
            result = what()
            return await result if inspect.isawaitable(result) else result
        except Err:
            raise
        except Exception as error:
            traceback.print_exc()
            raise Err(f"{type(error).__name__}: {error}") from None

    async def handle(self, request: Request) -> Response:
        if not hasattr(self.guest, "handle"):
            return Response.text("not found\n", 404)
        try:
            return await self.call("handle", request)
        except Exception:
            traceback.print_exc()
            return Response.text("the guest failed on this request; its log says why\n", 500)


_calls: _Calls | None = None


def _exports(calls: _Calls) -> dict[str, type]:
    def export(body: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        return run(body)

    class Lifecycle(exports.Lifecycle):
        @export
        async def start(self) -> None:
            await calls.told_of(live.run)
            if hasattr(calls.guest, "start"):
                await calls.told("start")

        @export
        async def cluster_ready(self) -> None:
            await calls.optional("cluster_ready")

        @export
        async def processes_changed(self, processes: list[Any]) -> None:
            await calls.optional("processes_changed", [process_of(one) for one in processes])

        @export
        async def stop(self) -> None:
            await calls.optional("stop")

    class Receiver(exports.Receiver):
        @export
        async def on_message(self, message: Any) -> None:
            await calls.optional("on_message", message_of(message))

    class Responder(exports.Responder):
        @export
        async def on_request(self, message: Any) -> bytes:
            if not hasattr(calls.guest, "on_request"):
                raise Err(f"no answer to `{message.action}`")
            return data_of(await calls.told("on_request", message_of(message)))

    class Task(exports.Task):
        @export
        async def run(self, name: str, payload: bytes | None) -> None:
            if not hasattr(calls.guest, "run_task"):
                raise Err(f"no task `{name}`")
            await calls.told("run_task", name, payload)

    return {"Lifecycle": Lifecycle, "Receiver": Receiver, "Responder": Responder, "Task": Task}
