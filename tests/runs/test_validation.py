"""Which validated value counts, and for what."""

from __future__ import annotations

import pytest

from spark_verl.runs.validation import QUANTITIES, accuracies, objective_of, validated


def test_the_largest_number_of_samples_counts():
    data = {"val-core/x/acc/mean@1": 0.1, "val-core/x/acc/mean@16": 0.3, "val-core/x/acc/best@16/mean": 0.9}
    assert accuracies(data) == {"x": 0.3}


@pytest.mark.parametrize(
    ("source", "name", "objective"),
    [
        ("geo3k", "policy_acc", "policy"),
        ("spark_digits", "policy_acc", "policy"),
        ("spark/pointwise", "pointwise_acc", "pointwise"),
        ("spark/pairwise", "pairwise_acc", "pairwise"),
        ("spark/reflection", "reflection_fix_rate", "reflection"),
        ("spark/reflection_keep", "reflection_keep_rate", "reflection"),
    ],
)
def test_every_source_belongs_to_one_quantity(source, name, objective):
    assert [key for key, quantity in QUANTITIES.items() if quantity.belongs(source)] == [name]
    assert objective_of(source) == objective
    assert validated({f"val-core/{source}/acc/mean@8": 0.5, f"val-aux/{source}/reward/mean@8": 0.1}) == {name: 0.5}
