"""Reflection: here is an attempt, do better. (SPARK, section 3, reflection data)

The reply is verified like a policy response, against the task's own ground truth. A configurable share of the attempts
is right, because a model that only ever sees wrong attempts learns to change every answer.
"""

from __future__ import annotations

import random

from spark_verl.judge.candidates import Draft, choose_source, shown_text, usable
from spark_verl.judge.types import Correctness, RolloutGroup


def draft(group: RolloutGroup, config, rng: random.Random) -> Draft | str:
    """Pick one attempt of the group.

    Args:
        group: The finished group.
        config: :class:`spark_verl.config.ReflectionConfig`.
        rng: The group's generator.

    Returns:
        The draft, or the reason why there is none.
    """
    source = choose_source(config.cot_share, rng)
    wanted = Correctness.RIGHT if rng.random() < config.right_share else Correctness.WRONG
    attempts = usable(group.of(wanted), source)
    if not attempts:
        return f"no_{wanted.value}_attempt"
    return Draft(
        objective="reflection",
        label_form="free",
        source=source,
        variables={"candidate": shown_text(rng.choice(attempts), source)},
        ground_truth=group.ground_truth,
        about=wanted.value,
        n=config.n,
    )
