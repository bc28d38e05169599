"""Which engine a sample goes to: a group's samples, and all that is asked about them, to one that has its images.

verl sends each sample to the engine with the fewest requests. A group is then spread over most engines, each of which
processes its images and its question once more, and a judge prompt finds them by luck. Here a group's first sample goes
to the engine with the fewest requests, and the others follow, as does what the model is asked about their answers
(:data:`_group`). Where an engine falls behind, new samples overflow to the least busy one, which from then on is a home
of the group as well.

verl has a hook for both halves: a class of client (:class:`GroupClient`), and a router named by a file
(``rollout.router_config_path``, :data:`ROUTER`).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from cachetools import LRUCache
from omegaconf import DictConfig
from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient, LLMServerClient
from verl.workers.rollout.router import DEFAULT_ROUTING_CACHE_SIZE, GlobalRequestLoadBalancer

ROUTER = Path(__file__).parent / "router.yaml"
"""What verl makes :class:`GroupRouter` from."""

_group: ContextVar[str | None] = ContextVar("group", default=None)
"""uid of the group that is being sampled. A task inherits it from the task that made it: samples from their group,
judge prompts and verdicts from the sample that completed it."""


def group() -> str | None:
    """uid of the group that the running task belongs to; None outside of any."""
    return _group.get()


@contextlib.contextmanager
def sampling(uid: str) -> Generator[None]:
    """What is sampled inside belongs to this group, unless it belongs to one already."""
    before = _group.set(_group.get() or uid)
    try:
        yield
    finally:
        _group.reset(before)


def route_groups(config: DictConfig) -> None:
    """Have verl make a :class:`GroupRouter`, unless the user has a router or wants the same engines in every run."""
    rollout = config.actor_rollout_ref.rollout
    if not rollout.router_config_path and not rollout.full_determinism:
        rollout.router_config_path = str(ROUTER)


class GroupClient(LLMServerClient):
    """verl's client, which also tells a router that asks for it (``group``) which group a request belongs to."""

    async def _acquire_server(self, request_id: str, **extra: Any) -> tuple[str, Any]:
        return await super()._acquire_server(request_id, **extra, group=group())


class AsyncGroupClient(GroupClient, FullyAsyncLLMServerClient):
    """The same for asynchronous training: a request that was broken off goes on with newer weights."""


class GroupRouter(GlobalRequestLoadBalancer):
    """verl's router, with homes for groups; see the module's docstring.

    Args:
        servers: Engines by address.
        config: The router's file; ``slack`` is how many more requests than the least busy engine the best of a group's
            homes may have.
    """

    def __init__(self, servers: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        super().__init__(dict(servers))
        self._slack = config["slack"]
        self._homes: LRUCache = LRUCache(maxsize=DEFAULT_ROUTING_CACHE_SIZE)

    def require_acquire_fields(self) -> list[str]:
        """What clients have to send along."""
        return ["group"]

    def acquire_server(self, request_id: str, group: str | None = None) -> tuple[str, Any]:
        """An engine for a request: of a conversation the one it was begun on, else a home of its group.

        Raises:
            RuntimeError: There is no engine.
        """
        if group is not None and self._inflight_requests and request_id not in self._request_id_to_server:
            self._request_id_to_server[request_id] = self._home(group)
        return super().acquire_server(request_id)

    def _home(self, group: str) -> str:
        loads = self._inflight_requests
        least = min(loads.values())
        homes = [engine for engine in self._homes.get(group, ()) if engine in loads]
        engine = min(homes, key=loads.__getitem__, default=None)
        if engine is None or loads[engine] > least + self._slack:
            engine = random.choice([each for each, load in loads.items() if load == least])
            homes.append(engine)
        self._homes[group] = homes
        return engine
