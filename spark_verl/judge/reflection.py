"""Reflection: here is an attempt, do better. (SPARK, section 3, reflection data)

The reply is verified like a policy response, against the task's own ground truth. A configurable share of the attempts
is right, because a model that only ever sees wrong attempts learns to change every answer.
"""

from __future__ import annotations

import random

from spark_verl.config import ReflectionConfig
from spark_verl.judge.candidates import Draft, choose_source, pools
from spark_verl.judge.plan import ReflectionAsk
from spark_verl.vocabulary import Correctness, LabelForm, Objective, RolloutGroup


def draft(group: RolloutGroup, ask: ReflectionAsk, config: ReflectionConfig, rng: random.Random) -> Draft | str:
    """Pick one attempt of the group.

    Args:
        group: The finished group.
        ask: Whether the attempt is to be right or wrong.
        config: The objective's options.
        rng: The group's generator.

    Returns:
        The draft, or the reason why there is none.
    """
    wanted = Correctness.RIGHT if ask.about_right else Correctness.WRONG
    for number, source in enumerate(choose_source(config.cot_share, rng)):
        attempts = pools(group, source)[wanted]
        if attempts:
            return Draft(
                objective=Objective.REFLECTION,
                label_form=LabelForm.FREE,
                source=source,
                candidates={"candidate": rng.choice(attempts)},
                ground_truth=group.ground_truth,
                about=wanted.value,
                n=config.n,
                adapted=("other_source",) * (number > 0),
            )
    return f"no_{wanted.value}_attempt"
