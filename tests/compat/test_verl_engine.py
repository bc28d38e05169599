"""verl's real FSDP2 engine on two ranks: packed rows, rows of one length, weights sent, vision towers."""

from __future__ import annotations

import inspect
import subprocess
from collections import Counter
from pathlib import Path

import forked
import pytest
import torch
from tensordict import TensorDict
from torch.overrides import TorchFunctionMode

from spark_verl.compat import verl_engine
from spark_verl.compat.verl_engine import _positions_fixed_by, token_pieces

PROGRAM = Path(__file__).resolve().parents[1] / "shared" / "engine_ranks.py"
CHECKS = [
    "packed default",
    "packed torch_flash_varlen",
    "packed sdpa",
    "padded on packed attention",
    "rows of one length",
    "weights are cast first",
]
VISION_CHECKS = [
    "pixels of 16 bits are as good",
    "an adapter leaves the tower alone",
    "a frozen tower stays as it is",
    "a picture is looked at once",
]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Return ``run(kind)``: what the program printed for this kind of model, and its errors; run once for each."""
    runs = {}

    def run(kind: str) -> subprocess.CompletedProcess:
        if kind not in runs:
            runs[kind] = forked.two_ranks(PROGRAM, kind, str(tmp_path_factory.mktemp(kind)))
        return runs[kind]

    return run


@pytest.mark.parametrize(
    ("kind", "check"),
    [(kind, check) for kind in ("text", "vision") for check in CHECKS + VISION_CHECKS * (kind == "vision")],
)
def test_two_ranks(ranks, kind, check):
    """Log-probabilities and entropies within 1e-6, gradients within 5e-7 of padded rows (where they are compared)."""
    done = ranks(kind)
    assert f"ok {check}\n" in done.stdout, done.stderr[-3000:]


def positions(lengths: tuple[int, ...], dimensions: int) -> list[torch.Tensor]:
    return [torch.arange(dimensions * length).reshape(dimensions, length) for length in lengths]


@pytest.mark.parametrize("dimensions", [3, 4])
@pytest.mark.parametrize(
    "lengths",
    [(5,), (4,), (3, 3), (8, 8), (16, 16, 16, 16), (1, 1), (2, 5), (1, 3), (4, 4, 9), (2, 2)],
    ids=str,
)
def test_positions_keep_their_rows(dimensions, lengths):
    """However rows arrive, whatever their lengths, and however often they are looked at."""
    from verl.utils import tensordict_utils as tu

    rows = positions(lengths, dimensions)
    nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    data = TensorDict({"position_ids": nested}, batch_size=[len(rows)])
    fix = _positions_fixed_by(tu.maybe_fix_3d_position_ids)
    fix(data)
    fix(data)
    order = list(range(len(rows)))[::-1]
    picked = tu.index_select_tensor_dict(data, order)
    fix(picked)
    assert torch.equal(data["position_ids"].values(), torch.cat(rows, dim=1))
    assert torch.equal(picked["position_ids"].values(), torch.cat([rows[i] for i in order], dim=1))


@pytest.mark.parametrize("data", [{}, {"position_ids": torch.zeros(2, 3)}], ids=["none", "of a text model"])
def test_other_positions_are_left_alone(data):
    data = TensorDict(data, batch_size=[2])
    expected = data.clone()
    _positions_fixed_by(lambda _: None)(data)
    assert data.keys() == expected.keys() and all((data[key] == expected[key]).all() for key in data.keys())  # noqa: SIM118


def test_verl_alone_fails_on_rows_of_one_length():
    """When this test fails, verl has mended it, and the fix can go."""
    from verl.utils import tensordict_utils as tu

    nested = torch.nested.as_nested_tensor(positions((3, 3), 4), layout=torch.jagged)
    data = TensorDict({"position_ids": nested}, batch_size=[2])
    tu.maybe_fix_3d_position_ids(data)
    with pytest.raises(RuntimeError, match="Expected cond to be True"):
        tu.index_select_tensor_dict(data, [0])


def test_contract_with_verls_way_of_sending_weights():
    """Names are converted, and only then are weights gathered, one by one, in whatever dtype they have."""
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    source = inspect.getsource(FSDPEngine.get_per_tensor_param)
    converted, read = source.index("params = convert_weight_keys(params,"), source.rindex("in params.items()")
    assert converted < read
    assert "param.to(device, non_blocking=True).full_tensor() if isinstance(param, DTensor) else param" in source


class Calls(TorchFunctionMode):
    """Counts the calls of torch's functions by name."""

    def __init__(self) -> None:
        super().__init__()
        self.times: Counter[str] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.times[func.__name__] += 1
        return func(*args, **(kwargs or {}))


def calls_of(compute, logits, labels, name: str) -> tuple[torch.Tensor, int]:
    """What it computes, and how often it called this function."""
    with Calls() as calls:
        found = compute(logits, labels)
    return found, calls.times[name]


@pytest.mark.parametrize(
    ("dtype", "operation"),
    [(torch.float32, "logsumexp"), (torch.float64, "logsumexp"), (torch.bfloat16, "log_softmax")],
)
@pytest.mark.parametrize("piece", [7 * 20, 7, 1 << 26], ids=["several pieces", "a token is too long", "one piece"])
def test_packed_rows_are_not_worked_on_token_by_token(dtype, operation, piece, monkeypatch):
    """The same log-probabilities and gradients. When the first count is another, verl has mended it."""
    from verl.utils import torch_functional

    monkeypatch.setattr(verl_engine, "PIECE", piece)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 7, generator=generator).to(dtype).requires_grad_()
    labels, weights = (torch.randint(0, 7, (50,), generator=generator) for _ in range(2))
    theirs = torch_functional.logprobs_from_logits_naive
    original = inspect.unwrap(torch_functional.logprobs_from_logits_v2)
    _, times = calls_of(original, logits, labels, operation)
    assert times == 50
    found, times = calls_of(token_pieces(original), logits, labels, operation)
    assert times == {7 * 20: 3, 7: 50, 1 << 26: 1}[piece]
    expected = theirs(logits, labels)
    torch.testing.assert_close(found, expected)
    slopes = (torch.autograd.grad((values * weights).sum(), logits)[0] for values in (found, expected))
    torch.testing.assert_close(*slopes)


def test_padded_rows_stay_verls():
    seen = []
    compute = token_pieces(lambda logits, labels: seen.append(logits.shape))
    compute(torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.int64))
    assert seen == [(2, 3, 5)]
