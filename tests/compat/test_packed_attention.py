"""Packed attention is attention within each sequence, whatever its options."""

from __future__ import annotations

import pytest
import torch

from spark_verl.compat.packed_attention import NAME, attend_packed, attend_rows


def reference(q, k, v, scale, causal, window):
    """Attention of one sequence, written out."""
    groups = q.shape[1] // k.shape[1]
    out = torch.zeros_like(q)
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head // groups].T * scale
        for i in range(len(q)):
            at = i + len(k) - len(q)
            for j in range(len(k)):
                hidden = (causal and j > at) or (window[0] >= 0 and at - j > window[0])
                hidden = hidden or (not causal and window[1] >= 0 and j - at > window[1])
                if hidden:
                    scores[i, j] = -torch.inf
        out[:, head] = scores.softmax(-1) @ v[:, head // groups]
    return out


def test_gradients_do_not_know_of_padding():
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 5, 1, 7]
    states = [torch.randn(16, 2, 8, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    weights = torch.randn(16, 2, 8, generator=generator, dtype=torch.float64)
    ends = begins(lengths)
    found = torch.autograd.grad((attend_packed(*states, ends, ends, 7, 7, causal=True) * weights).sum(), states)
    parts = zip(*(some.split(lengths) for some in states), strict=True)
    alone = torch.cat([reference(*part, 8**-0.5, True, (-1, -1)) for part in parts])
    torch.testing.assert_close(found, torch.autograd.grad((alone * weights).sum(), states))


def begins(lengths):
    return torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)


@pytest.mark.parametrize(
    ("lengths", "key_heads", "options"),
    [
        ([5], 4, {"causal": True}),
        ([1, 7, 2], 4, {"causal": True}),
        ([1, 7, 2], 2, {"causal": True}),
        ([3, 5, 4, 8, 3, 9, 1], 2, {"causal": True}),
        ([4, 2, 4, 3], 4, {"causal": False}),
        ([6, 3, 6], 2, {"causal": True, "window_size": (2, 2)}),
        ([3, 4], 1, {"causal": False}),
        ([6, 3], 4, {"causal": True, "window_size": (2, 2)}),
        ([6, 3], 4, {"causal": False, "window_size": (1, 2)}),
        ([4, 2], 2, {"causal": True, "softmax_scale": 0.3}),
    ],
    ids=[
        "one",
        "several",
        "grouped heads",
        "padded",
        "both ways, some equal",
        "windows, some equal",
        "both ways",
        "sliding window",
        "window both ways",
        "scale",
    ],
)
def test_each_sequence_by_itself(lengths, key_heads, options):
    generator = torch.Generator().manual_seed(0)
    total = sum(lengths)
    q = torch.randn(total, 4, 8, generator=generator, dtype=torch.float64)
    k, v = (torch.randn(total, key_heads, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    ends = begins(lengths)
    found = attend_packed(q, k, v, ends, ends, max(lengths), max(lengths), **options)
    scale, window = options.get("softmax_scale", 8**-0.5), options.get("window_size", (-1, -1))
    sequences = zip(q.split(lengths), k.split(lengths), v.split(lengths), strict=True)
    expected = torch.cat([reference(*sequence, scale, options["causal"], window) for sequence in sequences])
    torch.testing.assert_close(found, expected)


def test_rows_of_equal_length_and_earlier_keys():
    """The last query stands at the last key, as with flash-attn: earlier keys are a past."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(3, 2, 4, 8, generator=generator)
    k, v = (torch.randn(3, 5, 4, 8, generator=generator) for _ in range(2))
    found = attend_rows(q, k, v, causal=True)
    expected = torch.stack([reference(*row, 8**-0.5, True, (-1, -1)) for row in zip(q, k, v, strict=True)])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("options", [{"dropout_p": 0.1}, {"softcap": 30.0}], ids=str)
def test_what_the_kernels_lack_is_refused(options):
    q, ends = torch.zeros(2, 1, 8), begins([2])
    with pytest.raises(NotImplementedError, match="install flash-attn, or"):
        attend_packed(q, q, q, ends, ends, 2, 2, **options)


def test_transformers_options_reach_it():
    """Every option that transformers can hand to flash-attn and that changes a result is one of ours, or refused."""
    from transformers import modeling_flash_attention_utils as utils

    from spark_verl.compat.packed_attention import register

    register()
    functions, process = utils.lazy_import_flash_attention(NAME)
    assert functions[1] is attend_packed
    given = process(query_length=4, key_length=4, is_causal=True, dropout=0.1, sliding_window=3, softcap=2.0)
    assert given["causal"] and given["window_size"] == (2, 2) and (given["dropout_p"], given["softcap"]) == (0.1, 2.0)
