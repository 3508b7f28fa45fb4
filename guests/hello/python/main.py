from hatchery import Response, component


@component
class Hello:
    calls = 0

    def handle(self, request):
        self.calls += 1
        return Response.text(f"hello, call {self.calls}\n")
