"""Planning a step's judge data as a whole, although every group decides alone.

Before a step the trainer hands every group a plan (:class:`spark_verl.judge.plan.Plan`). After it, the controller sees
how the groups turned out and what was built, and steers the next step:

- *Labels.* A judge that sees mostly right answers learns to say Yes. The share of right candidates in groups with both
  outcomes makes up for what groups with one outcome bring, within limits; what exceeds the limits is left out. The
  position of the right candidate in pairs is steered in the same way.
- *Budgets.* Groups that cannot give a prompt (all right, so nothing to reflect on) are made up for by asking the others
  more often, up to twice the configured number (with the reference's 0.5: each group at most once, as there).

Shares are turned into decisions by error diffusion over the groups in random order: with a share of 0.5 every second
ask is a Yes, so a step's counts are as even as the groups' outcomes allow, not just even on average.

Deterministic: the plans of a step follow from the seed, the step and the counts of earlier steps. The state is part of
the checkpoint.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spark_verl.config import SparkConfig
from spark_verl.judge.plan import JudgeAsk, Plan, ReflectionAsk
from spark_verl.vocabulary import Objective, Outcome

MAX_ASK_FACTOR = 2.0
"""A group is asked for at most this multiple of the configured number of prompts."""

SHOW_RIGHT_LIMITS = (0.25, 0.75)
"""Share of right candidates among pointwise prompts of mixed groups. Such groups show right and wrong answers to the
same question, which is what teaches to judge; skewed further they would teach to recognise questions."""

RIGHT_FIRST_LIMITS = (0.1, 0.9)


@dataclass
class StepOutcome:
    """What a step's groups turned out to be and gave.

    Attributes:
        groups: Number of groups by outcome.
        asked: Number of prompts asked for, by kind: "judge", "reflection_right", "reflection_wrong".
        built: The same for prompts that were built.
        pointwise: (prompts labelled positive, prompts labelled negative).
        pairwise: (prompts with the right candidate first, second).
    """

    groups: Counter[Outcome] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    built: Counter[str] = field(default_factory=Counter)
    pointwise: tuple[int, int] = (0, 0)
    pairwise: tuple[int, int] = (0, 0)

    def add_group(self, outcome: Outcome, plan: Plan) -> None:
        """Count a finished group and what it had been asked for."""
        self.groups[outcome] += 1
        self.asked["judge"] += len(plan.judge)
        for ask in plan.reflection:
            self.asked["reflection_right" if ask.about_right else "reflection_wrong"] += 1

    def add_prompt(self, objective: Objective, about: str, positive: bool) -> None:
        """Count a prompt that was built; ``positive``: its label is Yes, or A."""
        if objective is Objective.REFLECTION:
            self.built[f"reflection_{about}"] += 1
            return
        self.built["judge"] += 1
        yes, no = getattr(self, objective)
        setattr(self, objective, (yes + positive, no + (not positive)))


class BalanceController:
    """Plans steps and learns from their outcomes.

    Args:
        config: What is to be met.

    Example:
        >>> from spark_verl.config import SparkConfig
        >>> plans = BalanceController(SparkConfig()).plan(64, step=1)
        >>> sum(len(plan.judge) for plan in plans), sum(len(plan.reflection) for plan in plans)
        (32, 32)
    """

    def __init__(self, config: SparkConfig) -> None:
        self.config = config
        self._decay = 1.0 - 1.0 / config.balance.memory
        # Exponentially weighted sums of what earlier steps brought.
        self._seen: Counter[str] = Counter()
        # Surplus of positive labels that is still to be made up for.
        self._surplus = {"pointwise": 0.0, "pairwise": 0.0}
        # Remainders of error diffusion.
        self._carry: dict[str, float] = {}

    # ------------------------------------------------------------------ planning

    def plan(self, n_groups: int, step: int, of: int | None = None, first: int = 0) -> list[Plan]:
        """The plans of a step's groups, in batch order.

        Args:
            n_groups: How many plans are wanted.
            step: Number of the step.
            of: Number of groups of a whole step, where these are not all of them.
            first: Slot of the first of them.
        """
        shares = self.shares(of or n_groups)
        rng = random.Random(f"{self.config.seed}/plan/{step}")
        order = rng.sample(range(n_groups), n_groups)
        plans: dict[int, Plan] = {}
        for slot in order:
            judge = tuple(self._ask(shares) for _ in range(self._count("judge", shares["judge_rate"])))
            reflection = tuple(
                ReflectionAsk(about_right=kind == "right")
                for kind in ("wrong", "right")
                for _ in range(self._count(f"reflection_{kind}", shares[f"reflection_{kind}_rate"]))
            )
            plans[slot] = Plan(judge, reflection, first + slot)
        return [plans[slot] for slot in range(n_groups)]

    def _ask(self, shares: Mapping[str, float]) -> JudgeAsk:
        pairwise = self._decide("pairwise", self.config.pairwise.share_in_mixed)
        # Each decision is diffused only over the asks to which it can apply.
        return JudgeAsk(
            pairwise=pairwise,
            right_first=pairwise and self._decide("right_first", shares["right_first"]),
            show_right=not pairwise and self._decide("show_right", shares["show_right"]),
            keep_if_all_right=self._decide("keep_right", shares["keep_right"]),
            keep_if_all_wrong=self._decide("keep_wrong", shares["keep_wrong"]),
        )

    def _decide(self, name: str, share: float) -> bool:
        """True for ``share`` of the calls, evenly spread."""
        return self._count(name, share) > 0

    def _count(self, name: str, expected: float) -> int:
        """Integers that add up to ``expected`` per call, with a remainder that is carried on."""
        total = self._carry.get(name, 0.5) + expected
        self._carry[name] = total - int(total + 1e-9)
        return int(total + 1e-9)

    def shares(self, n_groups: int) -> dict[str, float]:
        """What the next step is planned with.

        Args:
            n_groups: Number of groups of the step.

        Returns:
            ``judge_rate``, ``reflection_right_rate``, ``reflection_wrong_rate`` (prompts asked of a group),
            ``show_right``, ``right_first``, ``keep_right``, ``keep_wrong`` (shares).
        """
        shares = self._rates()
        asks = shares["judge_rate"] * n_groups
        share_of = {outcome: self._share_of_groups(outcome) for outcome in Outcome}
        pairs = asks * share_of[Outcome.MIXED] * self.config.pairwise.share_in_mixed
        cap = self.config.pointwise.share_in_unanimous
        shares.update(show_right=0.5, right_first=0.5, keep_right=cap, keep_wrong=cap)
        if not self.config.balance.labels:
            return shares
        if pairs > 0:
            shares["right_first"] = _clip(0.5 - self._surplus["pairwise"] / (2 * pairs), *RIGHT_FIRST_LIMITS)
        # Pointwise: (2 show_right - 1) free + keep_right right - keep_wrong wrong + surplus = 0
        free = asks * share_of[Outcome.MIXED] * (1 - self.config.pairwise.share_in_mixed)
        right, wrong, surplus = (
            asks * share_of[Outcome.RIGHT],
            asks * share_of[Outcome.WRONG],
            self._surplus["pointwise"],
        )
        reach = free * (SHOW_RIGHT_LIMITS[1] - SHOW_RIGHT_LIMITS[0])
        excess = cap * (right - wrong) + surplus
        if excess > reach and right > 0:
            shares["keep_right"] = _clip((reach + cap * wrong - surplus) / right, 0.0, cap)
        elif excess < -reach and wrong > 0:
            shares["keep_wrong"] = _clip((reach + cap * right + surplus) / wrong, 0.0, cap)
        excess = shares["keep_right"] * right - shares["keep_wrong"] * wrong + surplus
        if free > 0:
            shares["show_right"] = _clip(0.5 - excess / (2 * free), *SHOW_RIGHT_LIMITS)
        return shares

    def _rates(self) -> dict[str, float]:
        """How many prompts a group is asked for, so that as many as configured are built."""
        judge, reflection = self.config.judge_prompts_per_group, self.config.reflection_prompts_per_group
        right_share = self.config.reflection.right_share
        targets = {
            "judge": judge,
            "reflection_wrong": reflection * (1 - right_share),
            "reflection_right": reflection * right_share,
        }
        if not self.config.balance.budgets:
            return {f"{kind}_rate": target for kind, target in targets.items()}
        rates = {"judge_rate": min(MAX_ASK_FACTOR * judge, judge / self._yield_of("judge"))}
        wrong_yield = self._yield_of("reflection_wrong")
        wrong = min(MAX_ASK_FACTOR * targets["reflection_wrong"], targets["reflection_wrong"] / wrong_yield)
        rates["reflection_wrong_rate"] = wrong
        # Right attempts abound when wrong ones run out; their share stays what it is configured to be.
        if targets["reflection_wrong"] > 0 and right_share > 0:
            targets["reflection_right"] *= min(1.0, wrong * wrong_yield / targets["reflection_wrong"])
        right = targets["reflection_right"] / self._yield_of("reflection_right")
        rates["reflection_right_rate"] = min(MAX_ASK_FACTOR * targets["reflection_right"], right)
        return rates

    def _yield_of(self, kind: str) -> float:
        """Prompts built per prompt asked for, of late; 1 when nothing was asked yet."""
        asked, built = self._seen[f"asked/{kind}"], self._seen[f"built/{kind}"]
        return max(1e-3, built / asked) if asked > 0 else 1.0

    def _share_of_groups(self, outcome: Outcome) -> float:
        """Share of this outcome among recent groups; before the first step all groups are taken for mixed."""
        total = sum(self._seen[f"groups/{name}"] for name in Outcome)
        return self._seen[f"groups/{outcome}"] / total if total > 0 else float(outcome is Outcome.MIXED)

    # ------------------------------------------------------------------ learning

    def update(self, outcome: StepOutcome) -> None:
        """Take in what a step brought."""
        fresh = Counter[str]()
        for name in ("groups", "asked", "built"):
            fresh.update({f"{name}/{kind}": count for kind, count in getattr(outcome, name).items()})
        for objective in ("pointwise", "pairwise"):
            fresh[objective] = sum(getattr(outcome, objective))
        self._seen = Counter({k: self._decay * self._seen[k] + fresh[k] for k in {*self._seen, *fresh}})
        weight = sum(self._seen[f"groups/{name}"] for name in Outcome)
        steps = weight / max(1, sum(outcome.groups.values()))
        for objective in ("pointwise", "pairwise"):
            yes, no = getattr(outcome, objective)
            # No more is made up for than about one step can hold: a long spell without mixed groups must not be
            # followed by an equally long skew to the other side.
            limit = max(1.0, yes + no, self._seen[objective] / max(1.0, steps))
            self._surplus[objective] = _clip(self._surplus[objective] + yes - no, -limit, limit)

    # ------------------------------------------------------------------ checkpoint

    def state_dict(self) -> dict[str, Any]:
        """The state as JSON-serializable data."""
        return {"seen": dict(sorted(self._seen.items())), "surplus": dict(self._surplus), "carry": dict(self._carry)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._seen = Counter(state["seen"])
        self._surplus = dict(state["surplus"])
        self._carry = dict(state["carry"])


def _clip(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
