"""Pairwise judging: which of these two is right? (SPARK, section 3, pairwise reward data)

One right and one wrong candidate of the same group; which of them stands first is a fair coin.
"""

from __future__ import annotations

import random

from spark_verl.judge.candidates import Draft, choose_source, shown_text, usable
from spark_verl.judge.templates import LABELS
from spark_verl.judge.types import Correctness, RolloutGroup


def draft(group: RolloutGroup, config, rng: random.Random) -> Draft | str:
    """Pick one right and one wrong candidate and their order.

    Args:
        group: The finished group.
        config: :class:`spark_verl.config.PairwiseConfig`.
        rng: The group's generator.

    Returns:
        The draft, or the reason why there is none.
    """
    source = choose_source(config.cot_share, rng)
    right = usable(group.of(Correctness.RIGHT), source)
    wrong = usable(group.of(Correctness.WRONG), source)
    if not right or not wrong:
        return "no_usable_pair"
    right_text = shown_text(rng.choice(right), source)
    wrong_text = shown_text(rng.choice(wrong), source)
    if right_text == wrong_text:
        # The verifier is deterministic, so equal texts cannot differ in correctness; be safe against a flaky user one.
        return "identical_pair"
    right_first = rng.random() < 0.5
    first, second = (right_text, wrong_text) if right_first else (wrong_text, right_text)
    label_form = "a_b"
    return Draft(
        objective="pairwise",
        label_form=label_form,
        source=source,
        variables={"first": first, "second": second},
        ground_truth=LABELS[label_form][0 if right_first else 1],
        about="both",
        n=config.n,
    )
