"""Whoever asks vLLM's server need not import vLLM.

Ray unpickles the *handle* of an actor by importing the actor's class, for the names of its methods. The load balancer
and each agent-loop worker hold handles of verl's vLLM servers, and would import all of vLLM for it: 8 to 14 CPU seconds
and a GiB each (``measure/startup.py``), before a CPU run's first step. Ray stores the names beside the class; they are
enough.
"""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any

from spark_verl.compat.replace import replaces

SERVERS = "verl.workers.rollout."
"""Packages whose actor classes are stood in for, where only a handle is needed."""


@replaces("ray._private.function_manager", "FunctionActorManager._load_actor_class_from_gcs")
def stand_in_for_servers(load: Any) -> Any:
    """Let Ray describe verl's servers by the names of their methods, unless this process is to be one."""

    def load_or_stand_in(self: Any, job_id: Any, actor_creation_function_descriptor: Any) -> type:
        descriptor = actor_creation_function_descriptor
        named = descriptor.module_name
        if not named.startswith(SERVERS) or named in sys.modules or _is_being_created(self._worker):
            return load(self, job_id, descriptor)
        return _stand_in(self._worker, job_id, descriptor) or load(self, job_id, descriptor)

    return load_or_stand_in


def _is_being_created(worker: Any) -> bool:
    """Whether this process was made for an actor that does not exist yet: it needs its class."""
    actor = worker.core_worker.get_actor_id()
    return not actor.is_nil() and actor not in worker.actors


def _stand_in(worker: Any, job_id: Any, descriptor: Any) -> type | None:
    """A class with the methods that Ray noted for an actor class; None where it noted none."""
    from ray._private.function_manager import make_function_table_key
    from ray._private.ray_constants import KV_NAMESPACE_FUNCTION_TABLE

    key = make_function_table_key(b"ActorClass", job_id, descriptor.function_id.binary())
    record = worker.gcs_client.internal_kv_get(key, KV_NAMESPACE_FUNCTION_TABLE)
    names = json.loads(pickle.loads(record)["actor_method_names"]) if record else []

    def only_by_handle(self: Any, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"{descriptor.class_name} is only known by its methods' names in this process")

    return type(descriptor.class_name, (), dict.fromkeys(names, only_by_handle)) if names else None
