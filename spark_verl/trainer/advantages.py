"""From verl's advantages to SPARK's: rows that were not verified teach nothing, objectives have weights.

    A_i = w(objective of i) · (r_i − mean of its uid) / (std of its uid + ε),  and 0 for silent rows

verl computes the fraction, per uid (with RLOO a difference in its place); here rows are taken out of it before, and
factors put on it afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.utils import tensordict_utils as tu

from spark_verl.trainer.batch import fetch, reward_infos
from spark_verl.vocabulary import UNDECIDED


def silent_rows(keys: Sequence[str], statuses: Sequence[str | None]) -> list[int]:
    """The rows from whose score nothing can be learned.

    GRPO's advantage of a response is its score relative to the other responses to the same prompt. A verification that
    timed out or failed gives no score, and would count as a wrong answer. Without it a group may be down to one
    verified response, for which verl takes mean 0 and deviation 1: its bare score would be reinforced, relative to
    nothing.

    Args:
        keys: verl's row keys, ``<uid>_<session>_<output>``. The outputs of a session share one score.
        statuses: The verifier's status of each row; None where it says nothing, as for all but a session's last output.

    Returns:
        Indices, ascending: all rows of sessions that were not verified, and of the only verified session of a prompt.
    """
    sessions = [_session(key) for key in keys]
    unverified = {session for session, status in zip(sessions, statuses, strict=True) if status in UNDECIDED}
    verified = Counter(session.rsplit("_", 1)[0] for session in set(sessions) - unverified)
    return [i for i, session in enumerate(sessions) if session in unverified or verified[session.rsplit("_", 1)[0]] < 2]


def _session(key: str) -> str:
    return key.rsplit("_", 1)[0]


def isolate_unverified(batch: KVBatchMeta) -> list[int]:
    """Take rows that were not verified out of their groups' mean and deviation.

    Each becomes a group of its own. Their advantages are not zero by that alone (a KL penalty in the reward is not), so
    the caller has to set those of the returned rows to 0.

    Args:
        batch: All rows of a step; their ``uid`` in TransferQueue is changed.

    Returns:
        :func:`silent_rows` of the batch.
    """
    statuses = [info.get("status") for info in reward_infos(fetch(batch, "extra_fields"))]
    undecided = {_session(key) for key, status in zip(batch.keys, statuses, strict=True) if status in UNDECIDED}
    keys = [key for key in batch.keys if _session(key) in undecided]
    if keys:
        own = tu.get_tensordict({"uid": keys})
        tq.kv_batch_put(keys=keys, partition_id=str(batch.partition_id), fields=own)
    return silent_rows(batch.keys, statuses)


def scale(batch: KVBatchMeta, factors: Mapping[int, float]) -> None:
    """Multiply the advantages of rows in TransferQueue.

    Args:
        batch: All rows of a step.
        factors: ``{index of the row: factor}``; rows that are absent, or whose factor is 1, are not touched.
    """
    changed = [i for i, factor in factors.items() if factor != 1.0]
    if not changed:
        return
    keys = [batch.keys[i] for i in changed]
    rows = fetch(batch, "advantages", keys=keys)["advantages"].unbind()
    scaled = [row * factors[i] for row, i in zip(rows, changed, strict=True)]
    nested = torch.nested.as_nested_tensor(scaled, layout=torch.jagged)
    fields = TensorDict({"advantages": nested}, batch_size=len(keys))
    tq.kv_batch_put(keys=keys, partition_id=str(batch.partition_id), fields=fields)
