"""A multiprocessing context whose processes start clean and fast.

``fork`` copies a process full of threads (Ray, vLLM) and deadlocks now and then; ``spawn`` imports sympy anew for every
killed worker (3 s) and, like ``forkserver``, runs the caller's main module again in every child: a script without a
``__main__`` guard would start itself, a Ray actor would import Ray. Here a fork server imports the algebra once, every
worker is forked from it in milliseconds, and nobody's main module is touched. The server is our own, so that other
users of multiprocessing's global one are not affected. It ends with the process that started it.
"""

from __future__ import annotations

import io
import os
from multiprocessing import forkserver, popen_forkserver, spawn, util
from multiprocessing.context import ForkServerContext, ForkServerProcess, reduction, set_spawning_popen

PRELOAD = ["pebble.pool.process", "spark_verl.reward.symbolic"]

_server = forkserver.ForkServer()
_server.set_forkserver_preload(PRELOAD)


class _Popen(popen_forkserver.Popen):
    """The standard library's, with our server and without the main module in the preparation data."""

    def _launch(self, process_obj):
        preparation = spawn.get_preparation_data(process_obj._name)
        preparation.pop("init_main_from_name", None)
        preparation.pop("init_main_from_path", None)
        buffer = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(preparation, buffer)
            reduction.dump(process_obj, buffer)
        finally:
            set_spawning_popen(None)
        self.sentinel, writer = _server.connect_to_new_process(self._fds)
        # The child takes the end of this pipe for the end of its parent.
        parent_writer = os.dup(writer)
        self.finalizer = util.Finalize(self, util.close_fds, (parent_writer, self.sentinel))
        with open(writer, "wb", closefd=True) as pipe:
            pipe.write(buffer.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class CleanProcess(ForkServerProcess):
    """A process forked from our own server."""

    @staticmethod
    def _Popen(process_obj):
        return _Popen(process_obj)


class CleanForkServerContext(ForkServerContext):
    """Context for pools of :class:`CleanProcess`."""

    Process = CleanProcess
