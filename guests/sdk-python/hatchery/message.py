"""What `on_message` and `on_request` are given."""

import json
from dataclasses import dataclass
from typing import Any

from .cluster import Sender, sender_of


@dataclass(frozen=True)
class Message:
    action: str
    data: bytes
    """What the sender gave, often JSON. Check it: the sender may be another version of the app."""
    sender: Sender

    def json(self) -> Any:
        return json.loads(self.data)

    def text(self) -> str:
        return self.data.decode()


def message_of(raw: Any) -> Message:
    """For the exports."""
    return Message(raw.action, raw.data, sender_of(raw.sender))


def data_of(value: Any) -> bytes:
    """Bytes as they are, everything else as JSON."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    return json.dumps(value, separators=(",", ":")).encode()


def reason_of(error: Any) -> str:
    """The name of a WIT variant's case, and its value: `TooLarge: 1048576`."""
    name = type(error).__name__.rpartition("_")[2]
    return f"{name}: {error.value}" if hasattr(error, "value") else name
