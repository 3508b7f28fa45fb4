"""Ask and wait for the answer, which the other's `on_request` gives, as bytes.

A timeout is in seconds and cut to the app's `request-timeout`; 0 means that.
"""

import inspect
from dataclasses import dataclass
from typing import Any

from componentize_py_types import Err, Ok
from wit_world.imports import requests as host

from .message import data_of, reason_of


class AskError(Exception):
    """There is no answer; the text says why."""


@dataclass(frozen=True)
class Answer:
    pid: int
    result: bytes | AskError


async def ask_agent(action: str, value: Any = None, timeout: float = 0) -> bytes:
    """Ask the agent."""
    return await _ask(host.ask_agent, action, data_of(value), _nanos(timeout))


async def ask(pid: int, action: str, value: Any = None, timeout: float = 0) -> bytes:
    """Ask that process."""
    return await _ask(host.ask, pid, action, data_of(value), _nanos(timeout))


async def ask_app(action: str, value: Any = None, timeout: float = 0) -> list[Answer]:
    """Ask every worker that is ready, this process too where it is one: one answer each."""
    answers = await _ask(host.ask_app, action, data_of(value), _nanos(timeout))
    return [Answer(one.pid, _result(one.result)) for one in answers]


async def _ask(how: Any, *arguments: Any) -> Any:
    try:
        answer = how(*arguments)
        # WASI 0.2 has waited already.
        return await answer if inspect.isawaitable(answer) else answer
    except Err as error:
        raise AskError(reason_of(error.value)) from None


def _result(result: Any) -> bytes | AskError:
    return result.value if isinstance(result, Ok) else AskError(reason_of(result.value))


def _nanos(seconds: float) -> int:
    return min(int(seconds * 1_000_000_000), 2**63)
