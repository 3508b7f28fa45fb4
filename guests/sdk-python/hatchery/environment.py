"""What the manifest's `environment` says. `os.environ` is that of the build: the module level runs then."""

from wit_world.imports import environment as host


def environment() -> dict[str, str]:
    """Names and values. Call it in a handler or in `start`, not at the module level."""
    return dict(host.get_environment())
