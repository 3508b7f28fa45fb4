"""Who is there: this process, the others of its app, and what is deployed."""

from dataclasses import dataclass
from typing import Any, Literal

from wit_world.imports import cluster as host

Role = Literal["agent", "worker"]
State = Literal["starting", "ready", "draining"]


@dataclass(frozen=True)
class Process:
    pid: int
    """The cluster's id, never reused while the cluster lives. Not the system's pid."""
    role: Role
    slot: int
    """A worker's place, 0..N-1, which outlives the processes that fill it. 0 for the agent."""
    generation: int
    """The deployed version of the app, counted from 1."""
    state: State


@dataclass(frozen=True)
class Sender:
    """Who sent a message, as the master stamped it."""

    pid: int
    role: Role
    slot: int


@dataclass(frozen=True)
class App:
    name: str
    version: str


def this() -> Process:
    """This process."""
    return process_of(host.self())


def processes() -> list[Process]:
    """All processes of this app, the agent first, then the workers by slot."""
    return [process_of(one) for one in host.processes()]


def app() -> App:
    """What is deployed."""
    found = host.app()
    return App(found.name, found.version)


def process_of(raw: Any) -> Process:
    """For the exports."""
    role, state = raw.role.name.lower(), raw.state.name.lower()
    return Process(raw.pid, role, raw.slot, raw.generation, state)


def sender_of(raw: Any) -> Sender:
    """For the exports."""
    return Sender(raw.pid, raw.role.name.lower(), raw.slot)
