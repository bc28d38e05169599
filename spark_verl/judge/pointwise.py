"""Pointwise judging: is this answer right? (SPARK, section 3, pointwise reward data)

The label is the verifier's finding about the candidate: Yes or No, or A (correct) or B (incorrect).
"""

from __future__ import annotations

import random

from spark_verl.judge.candidates import Draft, choose_source, shown_text, usable
from spark_verl.judge.templates import LABELS
from spark_verl.judge.types import Correctness, RolloutGroup


def draft(group: RolloutGroup, config, rng: random.Random) -> Draft | str:
    """Pick one candidate of the group.

    In a mixed group right and wrong candidates are equally likely whatever the policy's accuracy, because a judge that
    sees mostly right answers learns to say Yes.

    Args:
        group: The finished group.
        config: :class:`spark_verl.config.PointwiseConfig`.
        rng: The group's generator.

    Returns:
        The draft, or the reason why there is none.
    """
    source = choose_source(config.cot_share, rng)
    pools = {c: usable(group.of(c), source) for c in (Correctness.RIGHT, Correctness.WRONG)}
    kinds = [c for c, pool in pools.items() if pool]
    if not kinds:
        return "no_usable_candidate"
    correctness = rng.choice(kinds)
    candidate = rng.choice(pools[correctness])
    label_form = rng.choice(list(config.label_forms))
    positive, negative = LABELS[label_form]
    return Draft(
        objective="pointwise",
        label_form=label_form,
        source=source,
        variables={"candidate": shown_text(candidate, source)},
        ground_truth=positive if correctness is Correctness.RIGHT else negative,
        about=correctness.value,
        n=config.n,
    )
