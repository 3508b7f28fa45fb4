"""Guests of Hatchery in Python, on WASI 0.2 and 0.3 with the same source. See ../README.md."""

from .cluster import App, Process, Role, Sender, State, app, processes, this
from .environment import environment
from .export import component
from .http import Request, Response
from .message import Message
from .messenger import SendError, broadcast, send_random, send_to, send_to_agent, send_to_app
from .requests import Answer, AskError, ask, ask_agent, ask_app

__all__ = [
    "Answer", "App", "AskError", "Message", "Process", "Request", "Response", "Role", "SendError", "Sender",
    "State", "app", "ask", "ask_agent", "ask_app", "broadcast", "component", "environment", "processes",
    "send_random", "send_to", "send_to_agent", "send_to_app", "this",
]
