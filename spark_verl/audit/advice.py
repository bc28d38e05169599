"""From the figures of an audit to advice: a table of thresholds.

The thresholds are rules of thumb. Those about what SPARK brings come from where it was measured to help and where not
(``docs/method.md``, "When it pays"), those about the gate are the gate's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spark_verl.config.schema import SelfRewardConfig
from spark_verl.self_reward.controller import MIN_WEIGHT, Closed

Figures = Mapping[str, Any]
"""Those of :func:`spark_verl.audit.figures.figures`."""

DENSE, MOST = 0.5, 0.5
MANY = 0.3
HARD = 0.8
SMALL = 0.05
FIXED, RANDOM = 0.5, 0.2
LENIENT = 0.5
WIDE, FEW = 0.3, 50
LOST = 0.1
_GATE = SelfRewardConfig()


@dataclass(frozen=True)
class Rule:
    """One piece of advice and when it is given.

    Attributes:
        when: The threshold in words.
        holds: The same of figures. Comparisons with what is not defined (NaN) are false.
        text: The advice; ``{f[...]}`` are figures.
    """

    when: str
    holds: Callable[[Figures], bool]
    text: str


@dataclass(frozen=True)
class Advice:
    """Advice that a rule gave; ``because`` is its threshold."""

    topic: str
    text: str
    because: str


def density(figures: Figures) -> str:
    """What the verifier's reward is on this data.

    Returns:
        "dense": at least half of the groups have right and wrong answers; else "sparse" or "used up" where at least
        half are all wrong or all right; else "mixed".
    """
    if figures["no_signal"]["value"] <= 1 - DENSE:
        return "dense"
    if figures["all_wrong"]["value"] >= MOST:
        return "sparse"
    return "used up" if figures["all_right"]["value"] >= MOST else "mixed"


def _closed(reason: Closed) -> Callable[[Figures], bool]:
    return lambda f: f["gate"]["closed"] == reason


# How dense the verifier's reward is, and hence what SPARK would bring.
_REWARD = (
    Rule(
        f"at least {DENSE:.0%} of the groups have right and wrong answers",
        lambda f: density(f) == "dense",
        "The reward is dense: {f[no_signal][value]:.0%} of the groups give no signal, GRPO learns from the others. "
        "Where that was so, SPARK's judge prompts brought the policy nothing and cost it questions; use them if you "
        "want the judge.",
    ),
    Rule(
        f"at least {MOST:.0%} of the groups are all wrong",
        lambda f: density(f) == "sparse",
        "The reward is sparse: {f[all_wrong][value]:.0%} of the groups are all wrong. This is where SPARK helped: "
        "judge prompts have right and wrong verdicts from the first step on.",
    ),
    Rule(
        f"at least {MOST:.0%} of the groups are all right",
        lambda f: density(f) == "used up",
        "The reward is used up: {f[all_right][value]:.0%} of the groups are all right. Neither GRPO nor SPARK has much "
        "left to teach here.",
    ),
    Rule(
        "none of the three above",
        lambda f: density(f) == "mixed",
        "The reward is neither dense nor sparse: {f[no_signal][value]:.0%} of the groups give no signal, some too easy "
        "and some too hard. Filter first; expect little of SPARK until most of what is left is too hard.",
    ),
)

_DATA = (
    Rule(
        f"at least {MANY:.0%} of the groups are all right",
        lambda f: f["all_right"]["value"] >= MANY,
        "Filter, or find harder data: questions that are always right ({f[all_right][value]:.0%} here) are sampled for "
        "nothing.",
    ),
    Rule(
        f"at least {HARD:.0%} of the groups are all wrong",
        lambda f: f["all_wrong"]["value"] >= HARD,
        "The data is too hard for this model: only {f[picks][best][value]:.0%} of the questions get any right answer. "
        "Find easier data, sample more often, or warm the model up first.",
    ),
    Rule(
        f"{MANY:.0%} to {HARD:.0%} of the groups are all wrong",
        lambda f: MANY <= f["all_wrong"]["value"] < HARD,
        "Put off questions that are always wrong ({f[all_wrong][value]:.0%} here), add easier ones, or sample more "
        "often.",
    ),
)

_JUDGE = (
    Rule(
        "no verdict on a right answer, or none on a wrong one",
        lambda f: math.isnan(f["youden"]["value"]),
        "J cannot be measured: verdicts on right and on wrong answers are needed, and one kind is missing.",
    ),
    Rule(
        "the interval of J is not above 0",
        lambda f: f["youden"]["low"] <= 0,
        "The judge is not known to be better than chance: J = {f[youden][value]:.2f} [{f[youden][low]:.2f}, "
        "{f[youden][high]:.2f}]. Train it on labels first (SPARK without self-reward), then audit again.",
    ),
    Rule(
        f"at least {LENIENT:.0%} of the verdicts on wrong answers say Yes",
        lambda f: f["fpr"]["value"] >= LENIENT,
        "The judge is lenient: {f[fpr][value]:.0%} of its verdicts on wrong answers say Yes.",
    ),
    Rule(
        f"more than {_GATE.max_unreadable:.0%} of the verdicts cannot be read",
        lambda f: f["unreadable"]["value"] > _GATE.max_unreadable,
        "{f[unreadable][value]:.0%} of the verdicts cannot be read: allow more tokens (--max_tokens), or try other "
        "--templates or another --label_form.",
    ),
    Rule(
        f"more than {LOST:.0%} of the answers could not be asked about",
        lambda f: f["not_asked"]["value"] > LOST,
        "The server refused to judge {f[not_asked][value]:.0%} of the answers: is its context too short for the "
        "question and a verdict?",
    ),
    Rule(
        f"at least {FIXED:.0%} of the errors' variance repeats, for sure more than {RANDOM:.0%}",
        lambda f: f["repeating"]["value"] >= FIXED and f["repeating"]["low"] > RANDOM,
        "The judge's errors are systematic: asked again about the same answer, it repeats them (a wrong verdict is "
        "wrong again in {f[again][value]:.0%}). More verdicts will not help; fewer cost less.",
    ),
    Rule(
        f"at most {RANDOM:.0%} of the errors' variance repeats, for sure less than {FIXED:.0%}, and J is above 0",
        lambda f: f["repeating"]["value"] <= RANDOM and f["repeating"]["high"] < FIXED and f["youden"]["low"] > 0,
        "The judge's errors are mostly chance: more verdicts per answer (spark.self_reward.verdicts) would average "
        "them out.",
    ),
)

_SELF_REWARD = (
    Rule(
        "the gate would be open",
        lambda f: f["gate"]["closed"] is None,
        "Self-reward can be tried: the gate would start from w = {f[gate][weight]:.2f}, so a question without label "
        "would teach with that share of a label's weight.",
    ),
    Rule(
        f"fewer than {_GATE.min_audit_groups} groups or {_GATE.min_audit_questions} questions",
        _closed(Closed.FEW_GROUPS),
        f"The gate would stay closed on so few questions: it wants {_GATE.min_audit_groups} groups (--questions).",
    ),
    Rule(
        f"the lower bound of ρ is below {MIN_WEIGHT}",
        _closed(Closed.BOUND),
        "The gate would stay closed: rewards are not known to go with the truth, ρ = {f[gate][rho]:.2f} "
        "[{f[gate][low]:.2f}, {f[gate][high]:.2f}]. Self-reward would cost verdicts and teach nothing yet.",
    ),
    Rule(
        f"mean reward and accuracy differ by more than {_GATE.max_miscalibration}",
        _closed(Closed.CALIBRATION),
        "The gate would stay closed: the mean posterior is off the accuracy by {f[gate][miscalibration]:+.2f}.",
    ),
    Rule(
        f"more than {_GATE.max_unreadable:.0%} of the verdicts cannot be read",
        _closed(Closed.UNREADABLE),
        "The gate would stay closed until more verdicts can be read.",
    ),
    Rule(
        "picking by posterior is better than by vote, interval above 0",
        lambda f: f["picks"]["posterior_vs_vote"]["low"] > 0,
        "Verdicts add to the vote: picking by posterior instead changes accuracy by {f[picks][posterior_vs_vote][value]"
        ":+.1%}. This is what self-reward has over majority voting here.",
    ),
    Rule(
        "picking by posterior is worse than by vote, interval below 0",
        lambda f: f["picks"]["posterior_vs_vote"]["high"] < 0,
        "Verdicts mislead: picking by posterior instead of by vote changes accuracy by "
        "{f[picks][posterior_vs_vote][value]:+.1%}.",
    ),
    Rule(
        "the interval of that difference has 0 in it",
        lambda f: f["picks"]["posterior_vs_vote"]["low"] <= 0 <= f["picks"]["posterior_vs_vote"]["high"],
        "No difference between posterior and majority vote can be told, and verdicts are {f[cost][judging_share]"
        "[value]:.0%} of the tokens: spark.self_reward.reward=vote may do as well.",
    ),
    Rule(
        f"the best possible pick is less than {SMALL:.0%} better than the vote",
        lambda f: f["picks"]["best"]["value"] - f["picks"]["vote"]["value"] < SMALL,
        "There is little to choose: a right answer is among the samples in {f[picks][best][value]:.0%} of the "
        "questions, and the vote finds it in {f[picks][vote][value]:.0%}.",
    ),
    Rule(
        f"a right answer ranks first in less than {MOST:.0%} of the groups that have one",
        lambda f: f["gate"]["first"] < MOST,
        "Where there is a right answer it ranks first in only {f[gate][first]:.0%} of the groups: in the others "
        "self-reward would strengthen a wrong one, whatever J is.",
    ),
)

_AUDIT = (
    Rule(
        f"fewer than {FEW} questions, or an interval of J wider than {WIDE}",
        lambda f: f["questions"] < FEW or f["youden"]["high"] - f["youden"]["low"] > WIDE,
        "{f[questions]} questions leave wide intervals: the same command with more --questions continues.",
    ),
    Rule(
        f"more than {LOST:.0%} of the answers cannot be parsed",
        lambda f: f["unanswered"]["value"] > LOST,
        "{f[unanswered][value]:.0%} of the responses have no answer that can be parsed: allow more tokens "
        "(--max_tokens), or ask for \\boxed{{}} in the prompts.",
    ),
)

RULES = {"reward": _REWARD, "data": _DATA, "judge": _JUDGE, "self-reward": _SELF_REWARD, "audit": _AUDIT}
"""All advice by what it is about, in the order in which it is given."""


def advise(figures: Figures) -> list[Advice]:
    """The advice that these figures call for."""
    return [
        Advice(topic, rule.text.format(f=figures), rule.when)
        for topic, rules in RULES.items()
        for rule in rules
        if rule.holds(figures)
    ]
