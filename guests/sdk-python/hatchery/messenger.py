"""Send and forget. Nothing here waits: a message is queued or refused (`SendError`).

A value is sent as JSON; `bytes` are sent as they are. In order per sender and receiver, at most once.
"""

from typing import Any

from componentize_py_types import Err
from wit_world.imports import messenger as host

from .message import data_of, reason_of


class SendError(Exception):
    """The message was refused; the text says why."""


def _send(how: Any, *arguments: Any) -> None:
    try:
        how(*arguments)
    except Err as error:
        raise SendError(reason_of(error.value)) from None


def broadcast(action: str, value: Any = None) -> None:
    """To every worker and the agent, this process included."""
    _send(host.broadcast, action, data_of(value))


def send_to_app(action: str, value: Any = None) -> None:
    """To every worker, to this process too where it is one."""
    _send(host.send_to_app, action, data_of(value))


def send_to_agent(action: str, value: Any = None) -> None:
    """To the agent, from itself too."""
    _send(host.send_to_agent, action, data_of(value))


def send_random(action: str, value: Any = None) -> None:
    """To one ready worker that the master chooses."""
    _send(host.send_random, action, data_of(value))


def send_to(pid: int, action: str, value: Any = None) -> None:
    """To that process, which may be this one."""
    _send(host.send_to, pid, action, data_of(value))
