"""Reflection: here is an attempt, do better. (SPARK, section 3, reflection data)

The reply is verified like a policy response, against the task's own ground truth. A configurable share of the attempts
is right, because a model that only ever sees wrong attempts learns to change every answer.
"""

from __future__ import annotations

import random

from spark_verl.judge.candidates import Draft, choose_source, pools
from spark_verl.judge.plan import ReflectionAsk
from spark_verl.vocabulary import Correctness, RolloutGroup


def draft(group: RolloutGroup, ask: ReflectionAsk, config, rng: random.Random) -> Draft | str:
    """Pick one attempt of the group.

    Args:
        group: The finished group.
        ask: Whether the attempt is to be right or wrong.
        config: :class:`spark_verl.config.ReflectionConfig`.
        rng: The group's generator.

    Returns:
        The draft, or the reason why there is none.
    """
    wanted = Correctness.RIGHT if ask.about_right else Correctness.WRONG
    for number, source in enumerate(choose_source(config.cot_share, rng)):
        attempts = pools(group, source)[wanted]
        if attempts:
            return Draft(
                objective="reflection",
                label_form="free",
                source=source,
                candidates={"candidate": rng.choice(attempts)},
                ground_truth=group.ground_truth,
                about=wanted.value,
                n=config.n,
                max_response_length=config.max_response_length,
                adapted=("other_source",) * (number > 0),
            )
    return f"no_{wanted.value}_attempt"
