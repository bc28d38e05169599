"""What Ray's head node knows of this run: a few words that all of its processes can leave and read, and its actors."""

from __future__ import annotations

from dataclasses import dataclass

_SPACE = b"spark_verl"


@dataclass(frozen=True)
class Actor:
    """A process of the run.

    Attributes:
        id: Ray's id of it.
        name: Its name, else its class.
        pid: Of its process.
        address: Of its node.
        end: Why it has ended, in Ray's words; "" while it runs.
    """

    id: str
    name: str
    pid: int
    address: str
    end: str = ""

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid} on {self.address})"


def is_there() -> bool:
    """Whether this process is connected to a head node."""
    import ray

    return ray.is_initialized()


def put(key: str, text: str) -> None:
    """Leave a text for the other processes of this run, wherever they are."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(_of_this_run(key), text.encode(), namespace=_SPACE)


def get(key: str) -> str | None:
    """What a process of this run has left; None where it has left nothing."""
    from ray.experimental.internal_kv import _internal_kv_get

    found = _internal_kv_get(_of_this_run(key), namespace=_SPACE)
    return None if found is None else found.decode()


def actors(state: str) -> dict[str, Actor]:
    """The run's actors in one of Ray's states ("ALIVE", "DEAD", ...), by their ids.

    Ray's documented way needs its dashboard, which a run on CPUs does without.
    """
    import ray
    from ray._private.state import actors

    job = ray.JobID.from_hex(ray.get_runtime_context().get_job_id())
    return {
        record["ActorID"]: Actor(
            id=record["ActorID"],
            name=record["Name"] or record["ActorClassName"],
            pid=record["Pid"],
            address=record["Address"]["IPAddress"],
            end=_reason(record["DeathCause"]) if record["State"] == "DEAD" else "",
        )
        for record in actors(job_id=job, actor_state_name=state).values()
    }


def _reason(cause: object) -> str:
    """The message of Ray's record of a death, without its list of what usually is the reason."""
    context = getattr(cause, "actor_died_error_context", None)
    message = getattr(context, "error_message", "") or " ".join(str(cause).split())
    return message.partition(" Some common causes")[0]


def _of_this_run(key: str) -> bytes:
    """A cluster outlives its runs, and so do its words."""
    import ray

    return f"{ray.get_runtime_context().get_job_id()}/{key}".encode()
