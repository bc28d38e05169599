"""The questions of a step where some have no ground truth: each kind in its share, whatever the data's shares are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

from torch.utils.data import Dataset, Sampler

from spark_verl.config.schema import SelfRewardConfig
from spark_verl.vocabulary import Supervision


class NumberedDataset(Dataset):
    """verl's data set with each row's number, and what it is for.

    Args:
        plain: verl's data set.
        supervision: Of each of its rows; None where all are labelled.
    """

    def __init__(self, plain: Any, supervision: Sequence[Supervision] | None = None) -> None:
        self.plain, self.supervision = plain, supervision

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = {**self.plain[index], "spark_row": index}
        return row if self.supervision is None else {**row, "spark_supervision": self.supervision[index].value}


class MixtureSampler(Sampler[int]):
    """Rows in the order of training; every batch has labelled, audit and unlabelled ones in their shares.

    Each kind is gone through in a random order, then in another one. Until ``min_audit_groups`` audit rows were given
    out, audit rows stand in for unlabelled ones: with the gate closed those would teach nothing.

    An epoch has as many rows as the data set, in whole batches. Deterministic in (seed, epoch); can be resumed.

    Args:
        supervision: Of each row.
        batch_size: Rows of a batch.
        config: The shares.
        seed: Of the order.
    """

    def __init__(
        self, supervision: Sequence[Supervision], batch_size: int, config: SelfRewardConfig, seed: int
    ) -> None:
        self.rows = {kind: [i for i, one in enumerate(supervision) if one is kind] for kind in Supervision}
        self.batch_size, self.config, self.seed = batch_size, config, seed
        self.length = len(supervision) // batch_size * batch_size
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        found = _Epoch(self, self.epoch)
        self.epoch += 1
        return found

    def stream(self) -> Iterator[int]:
        """All rows of all epochs."""
        rows = {kind: self._cycle(kind) for kind in Supervision}
        dealt, carried, batch = 0, dict.fromkeys(Supervision, 0.5), 0
        while True:
            counts = self._counts(carried)
            if self.rows[Supervision.AUDIT] and dealt < self.config.min_audit_groups:
                counts[Supervision.AUDIT] += counts[Supervision.UNLABELLED]
                counts[Supervision.UNLABELLED] = 0
            dealt += counts[Supervision.AUDIT]
            chosen = [row for kind, count in counts.items() for row in islice(rows[kind], count)]
            # Consecutive rows go to the same agent-loop worker: each gets its part of every kind.
            Random(f"{self.seed}/batch/{batch}").shuffle(chosen)
            batch += 1
            yield from chosen

    def _counts(self, carried: dict[Supervision, float]) -> dict[Supervision, int]:
        """How many rows of each kind the next batch has; remainders are carried on."""
        share = self.config.unlabelled_share if self.rows[Supervision.UNLABELLED] else 0.0
        if not self.rows[Supervision.LABELLED]:
            share = 1.0
        unlabelled = _take(carried, Supervision.UNLABELLED, share * self.batch_size)
        rest = self.batch_size - unlabelled
        audit_share = self.config.audit_share if self.rows[Supervision.AUDIT] else 0.0
        audit = min(rest, _take(carried, Supervision.AUDIT, audit_share * rest))
        return {
            Supervision.LABELLED: rest - audit,
            Supervision.AUDIT: audit,
            Supervision.UNLABELLED: unlabelled,
        }

    def _cycle(self, kind: Supervision) -> Iterator[int]:
        rows, turn = self.rows[kind], 0
        while rows:
            yield from Random(f"{self.seed}/{kind}/{turn}").sample(rows, len(rows))
            turn += 1


def _take(carried: dict[Supervision, float], kind: Supervision, expected: float) -> int:
    total = carried[kind] + expected
    whole = int(total + 1e-9)
    carried[kind] = total - whole
    return whole


class _Epoch(Iterator[int]):
    """One pass; what torchdata's loader stores of it is where it stands."""

    def __init__(self, sampler: MixtureSampler, epoch: int) -> None:
        self.sampler = sampler
        self._start(epoch, 0)

    def _start(self, epoch: int, given: int) -> None:
        self.epoch, self.given = epoch, given
        first = epoch * len(self.sampler)
        self._rows = islice(self.sampler.stream(), first + given, first + len(self.sampler))

    def __next__(self) -> int:
        row = next(self._rows)
        self.given += 1
        return row

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "given": self.given}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self._start(state["epoch"], state["given"])
        self.sampler.epoch = state["epoch"] + 1
