"""`hatchery dev` hands sources to a component that was built before: they are run at the start, in place of the
modules that were built in. `export` calls this; a guest has nothing to do with it.
"""

import importlib.abc
import importlib.util
import json
import linecache
import sys
from types import ModuleType
from typing import Any

from componentize_py_types import Err

from .environment import environment

VARIABLE = "HATCHERY_LIVE"
NEEDS_BUILD = "needs a build: "


def run() -> None:
    """Runs the main module anew, where there are sources to run."""
    if (handed := environment().get(VARIABLE)) is None:
        return
    sources: dict[str, str] = json.loads(handed)
    modules = {_name(path): path for path in sources}
    for name in modules:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Finder(sources, modules))
    try:
        importlib.import_module("main")
    except ImportError as error:
        # The standard library is only there at the build, which takes along what is imported then.
        raise Err(f"{NEEDS_BUILD}{error}") from None


def _name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def __init__(self, sources: dict[str, str], modules: dict[str, str]) -> None:
        self.sources = sources
        self.modules = modules

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if (file := self.modules.get(fullname)) is None:
            return None
        # A traceback shows the line.
        text = self.sources[file]
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        spec = importlib.util.spec_from_loader(fullname, self, origin=file, is_package=self.is_package(fullname))
        return spec

    def is_package(self, fullname: str) -> bool:
        return self.modules[fullname].endswith("__init__.py")

    def get_source(self, fullname: str) -> str:
        return self.sources[self.modules[fullname]]

    def exec_module(self, module: ModuleType) -> None:
        file = self.modules[module.__name__]
        module.__file__ = file
        exec(compile(self.sources[file], file, "exec"), module.__dict__)
