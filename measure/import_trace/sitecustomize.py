"""Import tracer that ``measure/startup.py`` puts on ``PYTHONPATH`` of a run: every Python process loads it first.

``-X importtime`` would do for one process, but its output goes to stderr, which Ray forwards line by line to the
driver: thousands of lines from each of a dozen processes change what is measured. Here each process appends one JSON
line per outermost import to ``$IMPORT_TRACE_DIR/<pid>.jsonl``.
"""

import importlib.machinery
import json
import os
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

# Outermost imports shorter than this are summed into the next line instead of being written on their own.
_SHORTEST = 0.02


class _Frames(threading.local):
    """CPU seconds that the imports inside each import in progress have taken so far, innermost last."""

    def __init__(self) -> None:
        self.children: list[float] = []


def _install(directory: str) -> None:
    frames = _Frames()
    self_seconds: dict[str, float] = {}

    def traced(original: Callable[[Any, ModuleType], None]) -> Callable[[Any, ModuleType], None]:
        def exec_module(self: Any, module: ModuleType) -> None:
            frames.children.append(0.0)
            wall, cpu = time.time(), time.thread_time()
            try:
                original(self, module)
            finally:
                spent = time.thread_time() - cpu
                top = module.__name__.partition(".")[0]
                self_seconds[top] = self_seconds.get(top, 0.0) + spent - frames.children.pop()
                if frames.children:
                    frames.children[-1] += spent
                elif time.time() - wall >= _SHORTEST:
                    line = {"name": module.__name__, "start": wall, "end": time.time(), "self": dict(self_seconds)}
                    self_seconds.clear()
                    with open(os.path.join(directory, f"{os.getpid()}.jsonl"), "a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")

        return exec_module

    for loader in (importlib.machinery.SourceFileLoader, importlib.machinery.ExtensionFileLoader):
        loader.exec_module = traced(loader.exec_module)
    os.register_at_fork(after_in_child=self_seconds.clear)


if os.environ.get("IMPORT_TRACE_DIR"):
    _install(os.environ["IMPORT_TRACE_DIR"])
