"""Muon in float32, for many small matrices at once.

The update rule is torch.optim.Muon's: Nesterov momentum, orthogonalised by five Newton-Schulz steps (K. Jordan,
https://kellerjordan.github.io/posts/muon/), scaled so that its RMS is AdamW's. Two things differ, and are why torch's
optimizer is not used: torch iterates in bfloat16, which costs five times as much as float32 on a CPU without bfloat16
instructions; and it takes one matrix after the other, where products this small leave most of a core idle. Here all
matrices of one shape are one batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from spark_verl.digits.team import ALONE, Team

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic polynomial; steepest at zero, so that small singular values grow fast."""

ITERATIONS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """Move the singular values of each matrix close to one (0.7 to 1.2).

    Args:
        matrices: Shape (n, rows, columns), rows <= columns.

    Returns:
        Tensor of the same shape and type.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.flatten(1).norm(dim=1).clamp(min=1e-7).view(-1, 1, 1)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Muon(torch.optim.Optimizer):
    """Muon with momentum 0.95 and no weight decay, for parameters that are matrices.

    Args:
        params: Matrices; those of one shape (or of its transpose) are updated together.
        lr: Learning rate, comparable to AdamW's.
        team: Processes that hold the same parameters and gradients; each works out a part of the updates.
    """

    MOMENTUM = 0.95

    def __init__(self, params: Iterable[Tensor], lr: float, team: Team = ALONE) -> None:
        super().__init__(params, {"lr": lr})
        self.team = team
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon updates matrices only; give vectors and embeddings to AdamW")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # ty: ignore[incompatible-method-override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape = self._by_shape(group["params"])
            sizes = [math.prod(shape) * len(params) for shape, params in by_shape.items()]
            # All updates are one vector, which starts at zero, so that the parts of the team are exchanged at once.
            updates = torch.zeros(sum(sizes))
            pieces = zip(updates.split(sizes), by_shape.items(), strict=True)
            by_piece = [(piece.view(-1, *shape), params) for piece, (shape, params) in pieces]
            for update, params in by_piece:
                if own := params[self.team.mine]:
                    flat = torch.stack([_wide(p.grad) for p in own])  # ty: ignore[invalid-argument-type]
                    momentum = self.state[own[0]].setdefault("momentum", torch.zeros_like(flat))
                    momentum.lerp_(flat, 1 - self.MOMENTUM)
                    update[self.team.mine] = orthogonalise(flat.lerp(momentum, self.MOMENTUM))
            self.team.add_up(updates)
            for update, params in by_piece:
                scale = -group["lr"] * 0.2 * math.sqrt(update.shape[-1])
                for p, change in zip(params, update, strict=True):
                    _wide(p).add_(change, alpha=scale)

    @staticmethod
    def _by_shape(params: list[Tensor]) -> dict[tuple[int, ...], list[Tensor]]:
        found: dict[tuple[int, ...], list[Tensor]] = {}
        for p in params:
            if p.grad is not None:
                found.setdefault(tuple(sorted(p.shape)), []).append(p)
        return found


def _wide(matrix: Tensor) -> Tensor:
    """The matrix, transposed where it has more rows than columns."""
    return matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
