"""Two runs on one machine do not take each other's weights.

verl sends a rank's weights to its engine through a socket in ``/tmp`` that is named after the Ray job, the replica and
the rank. The number of a job tells jobs of one Ray apart; every script here starts a Ray of its own, whose first job
has the same number as any other's. Two runs whose updates meet then bind one socket: the later one takes it from the
earlier one, whose rank waits for its engine for ever, and an engine may load the other run's weights.

:func:`watch` has a word of the run's own (:data:`VARIABLE`, in the environment of all its processes) put into the name,
on both sides. It waits until verl's module is imported: most processes never do that.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

from spark_verl.compat.replace import replaces

VARIABLE = "SPARK_RUN"
MODULE = "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer"
_PREFIX = "rl-colocate-zmq-"


def of_run(handle: str) -> str:
    """The socket's name with the run's word in it; as it is where the run has none."""
    run = os.environ.get(VARIABLE)
    return handle.replace(_PREFIX, f"{_PREFIX}{run}-", 1) if run else handle


@replaces("verl.workers.rollout.vllm_rollout.bucketed_weight_transfer", "BucketedWeightSender.__init__")
def send_within_the_run(original: Callable[..., None]) -> Callable[..., None]:
    """The trainer's side."""
    return _renamed(original)


@replaces("verl.workers.rollout.vllm_rollout.bucketed_weight_transfer", "BucketedWeightReceiver.__init__")
def receive_within_the_run(original: Callable[..., None]) -> Callable[..., None]:
    """The engine's side."""
    return _renamed(original)


def _renamed(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Any, zmq_handle: str, *args: Any, **named: Any) -> None:
        original(self, of_run(zmq_handle), *args, **named)

    return init


def watch() -> None:
    """Put both in place as soon as this process imports verl's module, now if it has."""
    if MODULE in sys.modules:
        _put_in_place()
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


def _put_in_place() -> None:
    send_within_the_run()
    receive_within_the_run()


class _WhenImported(MetaPathFinder):
    """Finds :data:`MODULE` where it is, and has it changed once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_and_change(module: ModuleType) -> None:
                load(module)
                _put_in_place()

            spec.loader.exec_module = load_and_change
        return spec
