"""Request and response, whichever WASI they travel by."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    method: str
    target: str
    """Path and query as they came."""
    headers: list[tuple[str, bytes]]
    _read: Callable[[], Awaitable[bytes]] = field(repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """The first with this name."""
        found = (value for key, value in self.headers if key.lower() == name.lower())
        value = next(found, None)
        return None if value is None else value.decode("latin-1")

    async def body(self) -> bytes:
        """All of it, once. The host's limit of the body size is the bound."""
        return await self._read()

    async def text(self) -> str:
        return (await self.body()).decode()

    async def json(self) -> Any:
        return json.loads(await self.body())


@dataclass
class Response:
    body: bytes = b""
    status: int = 200
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    @classmethod
    def text(cls, text: str, status: int = 200) -> "Response":
        return cls(text.encode(), status, [("content-type", b"text/plain; charset=utf-8")])

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Response":
        body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        return cls(body, status, [("content-type", b"application/json")])


def method_of(raw: Any) -> str:
    """For the exports."""
    name = type(raw).__name__.rpartition("_")[2]
    return raw.value if name == "Other" else name.upper()
