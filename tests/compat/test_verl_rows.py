"""A prompt's rows are written together, before the status that says that it has ended, and unchanged."""

from __future__ import annotations

import asyncio
import inspect
import re

import pytest
import torch
from omegaconf import OmegaConf
from tensordict import NonTensorStack

from spark_verl.compat.verl_rows import GroupedWrites, as_tensordict, media_dtype


class Queue:
    """TransferQueue's two functions; remembers what was written, in order."""

    def __init__(self):
        self.written: list[tuple] = []

    async def async_kv_batch_put(self, keys, partition_id, fields=None, tags=None):
        self.written.append((partition_id, tuple(keys), fields, tags))

    async def async_kv_put(self, key, partition_id, fields=None, tag=None):
        self.written.append((partition_id, (key,), fields, [tag]))


def row(length: int, **more) -> dict:
    """A row as verl's worker makes it, of an image prompt: positions are (4, length)."""
    return {
        "responses": torch.arange(length),
        "position_ids": torch.arange(4 * length).reshape(4, length),
        "rm_scores": torch.tensor(0.5),
        "multi_modal_inputs": {"pixel_values": torch.ones(2, 3)},
        **more,
    }


def put(queue: GroupedWrites, uid: str, session: int, fields: dict, partition: str = "train"):
    return queue.async_kv_batch_put(
        keys=[f"{uid}_{session}_0"], partition_id=partition, fields=[fields], tags=[{"session": session}]
    )


def test_rows_come_together_before_the_terminal_status() -> None:
    real = Queue()
    queue = GroupedWrites(real)

    async def run():
        await queue.async_kv_put(key="a", partition_id="train", tag={"status": "running"})
        for session, length in enumerate((3, 5, 4)):
            await put(queue, "a", session, row(length))
            await put(queue, "b", session, row(length))
        await put(queue, "a", 0, row(2), partition="val")
        assert len(real.written) == 1, "only the status so far"
        await queue.async_kv_put(key="a", partition_id="train", tag={"status": "finished"})
        await queue.async_kv_put(key="b", partition_id="train", tag={"status": "failure"})

    asyncio.run(run())
    assert [(partition, keys) for partition, keys, _, _ in real.written] == [
        ("train", ("a",)),
        ("train", ("a_0_0", "a_1_0", "a_2_0")),
        ("train", ("a",)),
        ("train", ("b_0_0", "b_1_0", "b_2_0")),
        ("train", ("b",)),
    ]
    assert real.written[1][3] == [{"session": 0}, {"session": 1}, {"session": 2}]


def test_other_names_are_the_modules() -> None:
    real = Queue()
    real.kv_list = object()
    assert GroupedWrites(real).kv_list is real.kv_list


def test_a_write_that_fails_is_raised_and_not_tried_again() -> None:
    """verl answers it with the status "failure", which must not fail for the same rows."""
    real = Queue()

    async def broken(**_):
        raise OSError("storage unit is gone")

    real.async_kv_batch_put = broken
    queue = GroupedWrites(real)

    async def run():
        await put(queue, "a", 0, row(3))
        with pytest.raises(OSError, match="storage unit is gone"):
            await queue.async_kv_put(key="a", partition_id="train", tag={"status": "finished"})
        await queue.async_kv_put(key="a", partition_id="train", tag={"status": "failure"})

    asyncio.run(run())
    assert [tags for *_, tags in real.written] == [[{"status": "failure"}]]


def test_rows_with_other_fields_are_written_apart() -> None:
    real = Queue()
    queue = GroupedWrites(real)

    async def run():
        await put(queue, "a", 0, row(3))
        await put(queue, "a", 1, row(3, rollout_log_probs=torch.zeros(3)))
        await put(queue, "a", 2, row(4))
        await queue.async_kv_put(key="a", partition_id="train", tag={"status": "finished"})

    asyncio.run(run())
    assert [keys for _, keys, _, _ in real.written] == [("a_0_0", "a_2_0"), ("a_1_0",), ("a",)]


def test_pixels_are_stored_in_the_models_arithmetic_once() -> None:
    real, pixels = Queue(), torch.rand(2, 3)
    queue = GroupedWrites(real, torch.bfloat16)
    media = {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, 1, 2]])}

    async def run():
        await put(queue, "a", 0, row(3, multi_modal_inputs=dict(media)))
        await put(queue, "a", 1, row(3, multi_modal_inputs=dict(media)))
        await put(queue, "a", 2, row(3, multi_modal_inputs={}))
        await put(queue, "a", 3, row(3, multi_modal_inputs=None))
        await queue.async_kv_put(key="a", partition_id="train", tag={"status": "finished"})

    asyncio.run(run())
    first, second, *without = real.written[0][2]["multi_modal_inputs"]
    assert torch.equal(first["pixel_values"], pixels.bfloat16()) and second["pixel_values"] is first["pixel_values"]
    assert torch.equal(first["image_grid_thw"], media["image_grid_thw"])
    assert media["pixel_values"].dtype == torch.float32 and not any(without)


@pytest.mark.parametrize(
    ("actor", "ref", "expected"),
    [
        (None, None, torch.bfloat16),
        ("bf16", None, torch.bfloat16),
        ("fp32", "fp32", None),
        ("fp32", None, None),
        ("bf16", "fp32", None),
        ("fp16", "fp16", torch.float16),
    ],
)
def test_pixels_keep_their_bits_where_a_model_computes_in_them(actor, ref, expected) -> None:
    models = {"actor": actor, "ref": ref}
    config = {
        role: {"fsdp_config": {"mixed_precision": dtype and {"param_dtype": dtype}}} for role, dtype in models.items()
    }
    assert media_dtype(OmegaConf.create({"actor_rollout_ref": config})) == expected


@pytest.mark.parametrize("lengths", [(3,), (3, 3), (3, 5, 1)])
def test_columns_hold_the_rows_values(lengths: tuple[int, ...]) -> None:
    rows = [row(length) for length in lengths]
    table = as_tensordict(rows)
    assert table.batch_size == torch.Size([len(lengths)])
    for name in ("responses", "position_ids", "rm_scores"):
        column = table[name]
        values = column.unbind() if column.is_nested else list(column)
        assert all(torch.equal(value, each[name]) for value, each in zip(values, rows, strict=True)), name
    assert isinstance(table.get("multi_modal_inputs"), NonTensorStack)


REAL_QUEUE = """
import asyncio
import ray
import torch
import transfer_queue as tq
from spark_verl.compat.verl_rows import GroupedWrites

ray.init(num_cpus=8, include_dashboard=False, object_store_memory=200_000_000)
tq.init()
queue = GroupedWrites(tq, torch.bfloat16)
rows = [
    {
        "responses": torch.arange(length),
        "position_ids": torch.arange(4 * length).reshape(4, length),
        "rm_scores": torch.full((length,), 0.5),
        "multi_modal_inputs": {"pixel_values": length * torch.ones(2, 3)},
    }
    for length in (3, 5, 4)
]
keys = ["a_0_0", "a_1_0", "a_2_0"]

async def run():
    await queue.async_kv_put(key="a", partition_id="train", tag={"status": "running"})
    for session, row in enumerate(rows):
        await queue.async_kv_batch_put(
            keys=[keys[session]], partition_id="train", fields=[row], tags=[{"session": session}]
        )
    first = sorted((await tq.async_kv_list("train"))["train"])
    await queue.async_kv_put(key="a", partition_id="train", tag={"status": "finished"})
    return first

before = asyncio.run(run())
tags = tq.kv_list("train")["train"]
data = tq.kv_batch_get(keys=keys, partition_id="train", select_fields=list(rows[0]))
same = {
    name: all(torch.equal(found, row[name]) for found, row in zip(data[name].unbind(), rows, strict=True))
    for name in ("responses", "position_ids", "rm_scores")
}
pixels = [inputs["pixel_values"].tolist() for inputs in data["multi_modal_inputs"]]
result = dict(
    before=before,
    tags=tags,
    same=same,
    pixels=pixels == [row["multi_modal_inputs"]["pixel_values"].tolist() for row in rows],
)
ray.shutdown()
"""


def test_the_real_queue_gives_back_what_was_put(run_python) -> None:
    result = run_python(REAL_QUEUE)
    assert result["before"] == ["a"], "rows wait for their prompt"
    assert result["tags"]["a"]["status"] == "finished"
    assert [result["tags"][f"a_{session}_0"]["session"] for session in range(3)] == [0, 1, 2]
    assert result["same"] == {"responses": True, "position_ids": True, "rm_scores": True}
    assert result["pixels"]


def test_one_row_looks_as_verls_own_function_makes_it() -> None:
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    ours, verls = as_tensordict([row(3)]), list_of_dict_to_tensordict([row(3)])
    assert ours.keys() == verls.keys()
    for name in ("responses", "position_ids", "rm_scores"):
        assert torch.equal(ours[name], verls[name]) and ours[name].dtype == verls[name].dtype


def test_contract_with_verls_worker() -> None:
    """verl's worker writes rows and statuses through the two names that are replaced, and reads nothing back."""
    from verl.trainer.ppo.v1 import agent_loop_tq

    source = inspect.getsource(agent_loop_tq)
    assert source.count("list_of_dict_to_tensordict(") == 1, "rows are made in one place"
    assert source.count("tq.async_kv_batch_put(") == 1, "and nothing else is put in batches"
    puts = re.findall(r"tq\.async_kv_put\(([^)]*)\)", source)
    assert puts and all(re.fullmatch(r"key=uid, partition_id=partition_id, tag=\{.status.: .*\}", put) for put in puts)
    assert "fields=list_of_dict_to_tensordict(fields)" in source
    assert 'keys.append(f"{uid}_{session_id}_{i}")' in source
    assert 'tag={"status": status}' in source and 'status = "finished"' in source and 'status = "failure"' in source
    assert "tq.kv_batch_get" not in source and "tq.async_kv_batch_get" not in source
    assert not isinstance(agent_loop_tq.tq, GroupedWrites), "verl's own module is only changed in SPARK's workers"


GROUPED = """
import torch
from verl.trainer.ppo.v1 import agent_loop_tq
from spark_verl.compat.verl_rows import group_writes
real = agent_loop_tq.tq
group_writes()
first = agent_loop_tq.tq
plain = first.media
group_writes(torch.bfloat16)
rows = [{"a": 1}]
result = dict(
    kind=type(first).__name__,
    once=agent_loop_tq.tq is first,
    media=[plain, first.media == torch.bfloat16],
    rest=first.init is real.init,
    rows=agent_loop_tq.list_of_dict_to_tensordict(rows) is rows,
)
"""


def test_a_workers_process_groups_its_writes(run_python) -> None:
    assert run_python(GROUPED) == {
        "kind": "GroupedWrites",
        "once": True,
        "media": [None, True],
        "rest": True,
        "rows": True,
    }
