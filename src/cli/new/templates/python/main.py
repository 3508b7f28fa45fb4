"""Answers with how often it was called. The object lives as long as its process: what it holds stays from
request to request. The module level runs when it is built.
"""

# {{#agent}}
import json

from hatchery import Response, ask_agent, component
# {{/agent}}
# {{^agent}}
from hatchery import Response, component
# {{/agent}}


@component
class App:
    def __init__(self):
        self.calls = 0

    async def handle(self, request):
# {{#agent}}
        # The agent counts for all workers.
        calls = json.loads(await ask_agent("call", timeout=5))
        return Response.text(f"hello, call {calls}\n")

    def on_request(self, request):
        """Only the agent is asked."""
        self.calls += 1
        return self.calls
# {{/agent}}
# {{^agent}}
        self.calls += 1
        return Response.text(f"hello, call {self.calls}\n")
# {{/agent}}
