"""Pointwise judging: is this answer right? (SPARK, section 3, pointwise reward data)

The label is the verifier's finding about the candidate: Yes or No, or A (correct) or B (incorrect).
"""

from __future__ import annotations

import random

from spark_verl.config import PointwiseConfig
from spark_verl.judge.candidates import Draft, choose_source, pools
from spark_verl.judge.plan import JudgeAsk
from spark_verl.vocabulary import Correctness, LabelForm, Objective, Outcome, RolloutGroup


def draft(group: RolloutGroup, ask: JudgeAsk, config: PointwiseConfig, rng: random.Random) -> Draft | str:
    """Pick one candidate of the group.

    Args:
        group: The finished group.
        ask: Whether a right or a wrong candidate is wanted, where the group has both. When there is none that can be
            shown, the other kind is taken.
        config: The objective's options.
        rng: The group's generator.

    Returns:
        The draft, or the reason why there is none.
    """
    label_form = LabelForm(rng.choice(list(config.label_forms)))
    positive, negative = label_form.labels
    wanted = [Correctness.RIGHT, Correctness.WRONG]
    if not ask.show_right:
        wanted.reverse()
    sources = choose_source(config.cot_share, rng)
    found = {source: pools(group, source) for source in sources}
    # Rather the label that was asked for in the other form than the other label: balance matters more.
    for correctness in wanted:
        for source in sources:
            candidates = found[source][correctness]
            if not candidates:
                continue
            adapted = ["other_source"] * (source != sources[0])
            if group.outcome is Outcome.MIXED and correctness is not wanted[0]:
                adapted.append("other_label")
            return Draft(
                objective=Objective.POINTWISE,
                label_form=label_form,
                source=source,
                candidates={"candidate": rng.choice(candidates)},
                ground_truth=positive if correctness is Correctness.RIGHT else negative,
                about=correctness.value,
                n=config.n,
                adapted=tuple(adapted),
            )
    return "no_usable_candidate"
