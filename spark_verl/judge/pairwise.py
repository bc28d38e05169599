"""Pairwise judging: which of these two is right? (SPARK, section 3, pairwise reward data)

One right and one wrong candidate of the same group.
"""

from __future__ import annotations

import random

from spark_verl.config import PairwiseConfig
from spark_verl.judge.candidates import Draft, choose_source, pools
from spark_verl.judge.plan import JudgeAsk
from spark_verl.vocabulary import Correctness, LabelForm, Objective, RolloutGroup


def draft(group: RolloutGroup, ask: JudgeAsk, config: PairwiseConfig, rng: random.Random) -> Draft | str:
    """Pick one right and one wrong candidate.

    Args:
        group: The finished group.
        ask: Which of the two stands first.
        config: The objective's options.
        rng: The group's generator.

    Returns:
        The draft, or the reason why there is none.
    """
    for number, source in enumerate(choose_source(config.cot_share, rng)):
        found = pools(group, source)
        right, wrong = found[Correctness.RIGHT], found[Correctness.WRONG]
        if not right or not wrong:
            continue
        pair = (rng.choice(right), rng.choice(wrong))
        first, second = pair if ask.right_first else reversed(pair)
        return Draft(
            objective=Objective.PAIRWISE,
            label_form=LabelForm.A_B,
            source=source,
            candidates={"first": first, "second": second},
            ground_truth=LabelForm.A_B.labels[0 if ask.right_first else 1],
            about="both",
            n=config.n,
            adapted=("other_source",) * (number > 0),
        )
    return "no_usable_pair"
