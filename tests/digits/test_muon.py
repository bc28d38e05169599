"""Muon in float32 and in batches takes the steps of torch's own optimizer."""

from __future__ import annotations

import pytest
import torch

from spark_verl.digits.muon import Muon, orthogonalise

SHAPES = [(16, 16), (8, 16), (16, 8), (16, 16), (32, 16), (1, 16)]


def test_steps_are_torchs_up_to_bfloat16():
    """torch iterates in bfloat16, which keeps 8 bits: its updates differ by a percent or two of their size."""
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    start = [p.detach().clone() for p in ours]
    first = Muon(ours, lr=0.02)
    second = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        first.step()
        second.step()
    for a, b, origin in zip(ours, theirs, start, strict=True):
        moved = (b - origin).norm()
        assert (a - b).norm() < 0.03 * moved, a.shape


def test_singular_values_end_near_one():
    torch.manual_seed(0)
    matrices = torch.randn(5, 32, 64) * torch.tensor([1e-3, 1, 10, 1e3, 1]).view(-1, 1, 1)
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert 0.6 < values.min() and values.max() < 1.25


def test_a_zero_gradient_moves_nothing_and_a_missing_one_is_skipped():
    still, frozen = torch.nn.Parameter(torch.ones(4, 4)), torch.nn.Parameter(torch.ones(4, 4))
    still.grad = torch.zeros(4, 4)
    Muon([still, frozen], lr=1.0).step()
    assert torch.equal(still, torch.ones(4, 4)) and torch.equal(frozen, torch.ones(4, 4))


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="matrices only"):
        Muon([torch.nn.Parameter(torch.ones(4))], lr=1.0)
