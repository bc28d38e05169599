"""Notes every computation on bfloat16 or float16 tensors in any process that finds this folder on PYTHONPATH.

``$HALF_PRECISION_DIR/<pid>.jsonl`` gets a line with the process's name and the number of operations seen so far, now
and then, and a line for each operation whose arguments or results are half-precision tensors on a CPU. A CPU without
bfloat16 instructions takes five times as long for those, and nobody would see it on a newer one.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import threading

EVERY = 1000
"""Operations between two lines that only count."""


def watch_this_thread():
    """Put a dispatch mode on top of this thread's stack, for good: modes are a matter of threads."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    half = {torch.bfloat16, torch.float16}
    path = os.path.join(os.environ["HALF_PRECISION_DIR"], f"{os.getpid()}.jsonl")

    def note(**line):
        with open("/proc/self/cmdline", "rb") as file:
            name = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"process": name[:120], **line}) + "\n")

    class Watch(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            tensors = [x for x in tree_leaves((args, kwargs or {}, result)) if isinstance(x, torch.Tensor)]
            if any(x.dtype in half and x.device.type == "cpu" and x.numel() for x in tensors):
                note(operation=str(function), shapes=[list(x.shape) for x in tensors])
            self.seen += 1
            if self.seen % EVERY == 1:
                note(seen=self.seen)
            return result

    Watch().__enter__()


class AfterTorch(importlib.abc.MetaPathFinder):
    """Finds torch as usual, and has its first importer watched once it is there."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            watch_this_thread()

        spec.loader.exec_module = exec_module
        return spec


def watched_run(run):
    """``Thread.run`` that watches the thread if torch is there by then."""

    def run_watched(self):
        if "torch" in sys.modules and hasattr(sys.modules["torch"], "bfloat16"):
            watch_this_thread()
        return run(self)

    return run_watched


if os.environ.get("HALF_PRECISION_DIR"):
    sys.meta_path.insert(0, AfterTorch())
    threading.Thread.run = watched_run(threading.Thread.run)
