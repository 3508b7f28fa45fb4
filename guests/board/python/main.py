"""The board in Python: see ../README.md for what is said between processes."""

import json
import time

from hatchery import AskError, Response, ask_agent, ask_app, broadcast, component, environment, this

from notes import Notes

MAX_TEXT = 1000  # bytes
TIMEOUT = 5  # seconds


@component
class Board:
    def __init__(self):
        self.notes = Notes()

    async def start(self):
        if this().role == "worker":
            self.notes.merge(json.loads(await ask_agent("list", timeout=TIMEOUT)))
            return
        try:
            answers = await ask_app("list", timeout=TIMEOUT)
        except AskError:
            return  # No worker is there yet, unless this agent is a replacement.
        for answer in answers:
            if isinstance(answer.result, bytes):
                self.notes.merge(json.loads(answer.result))

    async def handle(self, request):
        match request.method, request.path:
            case "GET", "/":
                return Response.json(self.notes.all())
            case "POST", "/":
                return await self.post(await request.body())
            case "GET", "/where":
                return Response.json({"slot": this().slot, "language": "python"})
            case "GET", "/fail":
                fail()
        return Response.text("not found\n", 404)

    async def post(self, text):
        if len(text) > MAX_TEXT:
            return Response.text(f"a note has at most {MAX_TEXT} bytes\n", 413)
        try:
            text.decode()
        except UnicodeDecodeError:
            text = b""
        if not text:
            return Response.text("a note is text\n", 400)
        note = json.loads(await ask_agent("add", text, TIMEOUT))
        self.notes.add(note)
        return Response.json(note, 201)

    def on_message(self, message):
        match message.action:
            case "added":
                self.notes.add(message.json())
            case "drop":
                self.notes.drop_to(message.json())

    def on_request(self, request):
        match request.action:
            case "list":
                return {"last": self.notes.last, "notes": self.notes.all()}
            case "add":
                note = self.notes.new(request.text(), now())
                broadcast("added", note)
                if (surplus := self.notes.surplus()) is not None:
                    broadcast("drop", surplus)
                return note
        raise ValueError(f"no answer to {request.action!r}")

    def run_task(self, name, payload):
        if name != "expire":
            raise ValueError(f"no task {name!r}")
        keep = int(environment().get("BOARD_KEEP", "600"))
        if (old := self.notes.older(now() - keep * 1000)) is not None:
            broadcast("drop", old)


def fail():
    raise RuntimeError("asked to fail")


def now():
    return time.time_ns() // 1_000_000
