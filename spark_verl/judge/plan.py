"""What a group is asked for, before anything is known about its rollouts.

A plan is made when a prompt is submitted and carried out when its group is complete: the group's outcome decides which
part of each ask applies. That way every group decides alone, and the shares of a whole step can still be planned
together (:mod:`spark_verl.judge.balance`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from spark_verl.config import SparkConfig


@dataclass(frozen=True)
class JudgeAsk:
    """One pointwise or pairwise prompt to build.

    Attributes:
        pairwise: In a group with both outcomes: compare two candidates, else judge one.
        right_first: Pairwise: the right candidate stands first (label A).
        show_right: Pointwise in a group with both outcomes: show a right candidate, else a wrong one.
        keep_if_all_right: Build the prompt when every candidate is right.
        keep_if_all_wrong: Build the prompt when every candidate is wrong.
    """

    pairwise: bool
    right_first: bool
    show_right: bool
    keep_if_all_right: bool
    keep_if_all_wrong: bool


@dataclass(frozen=True)
class ReflectionAsk:
    """One reflection prompt to build.

    Attributes:
        about_right: Show an attempt that is right already.
    """

    about_right: bool


@dataclass(frozen=True)
class Plan:
    """Everything one group is asked for.

    Attributes:
        judge: Pointwise or pairwise prompts.
        reflection: Reflection prompts.
        slot: Position of the group in its batch; tells groups apart whose data set has no row index.
    """

    judge: tuple[JudgeAsk, ...] = ()
    reflection: tuple[ReflectionAsk, ...] = ()
    slot: int = 0


def draw_count(expected: float, rng: random.Random) -> int:
    """An integer whose expectation is ``expected``: 0.5 is a fair coin between 0 and 1, 1.25 is 1 or 2."""
    whole = int(expected)
    return whole + (rng.random() < expected - whole)


def draw_plan(config: SparkConfig, rng: random.Random) -> Plan:
    """A plan by independent draws at the configured shares, for a group that stands alone.

    Args:
        config: The shares.
        rng: Where chance comes from.
    """
    judge = tuple(
        JudgeAsk(
            pairwise=rng.random() < config.pairwise.share_in_mixed,
            right_first=rng.random() < 0.5,
            show_right=rng.random() < 0.5,
            keep_if_all_right=(keep := rng.random() < config.pointwise.share_in_unanimous),
            keep_if_all_wrong=keep,
        )
        for _ in range(draw_count(config.judge_prompts_per_group, rng))
    )
    reflection = tuple(
        ReflectionAsk(about_right=rng.random() < config.reflection.right_share)
        for _ in range(draw_count(config.reflection_prompts_per_group, rng))
    )
    return Plan(judge, reflection)
