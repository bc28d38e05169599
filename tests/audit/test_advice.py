"""Every rule of the advice on both sides of its threshold, on made-up figures."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import pytest

from spark_verl.audit.advice import RULES, Rule, advise, density

NOTHING = math.nan


def value(value: float, half: float = 0.05) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "count": 100}


BASE: dict[str, Any] = {
    "questions": 100,
    "no_signal": value(0.4),
    "all_right": value(0.2),
    "all_wrong": value(0.2),
    "unanswered": value(0.0),
    "youden": value(0.4),
    "fpr": value(0.3),
    "unreadable": value(0.0),
    "not_asked": value(0.0),
    "repeating": value(0.35),
    "again": value(0.5),
    "picks": {"vote": value(0.5), "best": value(0.8), "posterior_vs_vote": value(0.1)},
    "cost": {"judging_share": value(0.6)},
    "gate": {
        "weight": 0.3,
        "closed": None,
        "rho": 0.4,
        "low": 0.3,
        "high": 0.5,
        "first": 0.7,
        "miscalibration": 0.02,
    },
}


def made_up(changes: dict[str, Any]) -> dict[str, Any]:
    """The figures above with some changed; "picks.vote" is the vote among the picks."""
    found = copy.deepcopy(BASE)
    for path, new in changes.items():
        *folders, name = path.split(".")
        block = found
        for folder in folders:
            block = block[folder]
        block[name] = new
    return found


def told(changes: dict[str, Any]) -> str:
    return " ".join(f"{each.topic}: {each.text}" for each in advise(made_up(changes)))


def signal(all_right: float, all_wrong: float) -> dict[str, Any]:
    return {"all_right": value(all_right), "all_wrong": value(all_wrong), "no_signal": value(all_right + all_wrong)}


CASES = [
    # (what is said, figures that call for it, figures next to them that do not)
    ("The reward is dense", signal(0.25, 0.25), signal(0.25, 0.26)),
    ("The reward is sparse", signal(0.05, 0.5), signal(0.05, 0.49)),
    ("The reward is used up", signal(0.5, 0.05), signal(0.49, 0.05)),
    ("neither dense nor sparse", signal(0.3, 0.3), signal(0.2, 0.3)),
    ("Filter, or find harder data", signal(0.3, 0.0), signal(0.29, 0.0)),
    ("too hard for this model: only 80%", signal(0.0, 0.8), signal(0.0, 0.79)),
    ("Put off questions that are always wrong (30%", signal(0.0, 0.3), signal(0.0, 0.8)),
    ("Put off questions that are always wrong (79%", signal(0.0, 0.79), signal(0.0, 0.29)),
    ("J cannot be measured", {"youden": value(NOTHING)}, {"youden": value(0.0)}),
    ("not known to be better than chance: J = 0.05 [0.00, 0.10]", {"youden": value(0.05)}, {"youden": value(0.06)}),
    ("not known to be better than chance: J = -0.20", {"youden": value(-0.2)}, {"youden": value(NOTHING)}),
    ("lenient: 50%", {"fpr": value(0.5)}, {"fpr": value(0.49)}),
    ("11% of the verdicts cannot be read", {"unreadable": value(0.11)}, {"unreadable": value(0.1)}),
    ("refused to judge 11%", {"not_asked": value(0.11)}, {"not_asked": value(0.1)}),
    ("errors are systematic", {"repeating": value(0.5, 0.29)}, {"repeating": value(0.49)}),
    ("errors are systematic", {"repeating": value(0.9)}, {"repeating": value(0.6, 0.5)}),
    ("errors are mostly chance", {"repeating": value(0.2)}, {"repeating": value(0.21)}),
    ("errors are mostly chance", {"repeating": value(-0.1)}, {"repeating": value(0.1, 0.5)}),
    ("errors are mostly chance", {"repeating": value(0.1)}, {"repeating": value(0.1), "youden": value(0.0)}),
    ("would start from w = 0.30", {}, {"gate.closed": "no_correlation"}),
    ("stay closed on so few questions: it wants 30", {"gate.closed": "few_audit_groups"}, {}),
    ("ρ = 0.40 [0.30, 0.50]", {"gate.closed": "no_correlation"}, {}),
    ("off the accuracy by +0.02", {"gate.closed": "miscalibrated"}, {}),
    ("closed until more verdicts can be read", {"gate.closed": "unreadable_verdicts"}, {}),
    ("Verdicts add to the vote", {"picks.posterior_vs_vote": value(0.06)}, {"picks.posterior_vs_vote": value(0.04)}),
    ("Verdicts mislead", {"picks.posterior_vs_vote": value(-0.06)}, {"picks.posterior_vs_vote": value(-0.04)}),
    ("No difference between", {"picks.posterior_vs_vote": value(0.0)}, {"picks.posterior_vs_vote": value(-0.06)}),
    ("little to choose", {"picks.best": value(0.54)}, {"picks.best": value(0.56)}),
    ("ranks first in only 49%", {"gate.first": 0.49}, {"gate.first": 0.5}),
    ("49 questions leave wide intervals", {"questions": 49}, {"questions": 50}),
    ("100 questions leave wide intervals", {"youden": value(0.4, 0.16)}, {"youden": value(0.4, 0.14)}),
    ("11% of the responses have no answer", {"unanswered": value(0.11)}, {"unanswered": value(0.1)}),
]


@pytest.mark.parametrize(("text", "called_for", "not_called_for"), CASES)
def test_both_sides_of_a_threshold(text, called_for, not_called_for):
    assert text in told(called_for)
    assert text not in told(not_called_for)


@pytest.mark.parametrize("rule", [rule for rules in RULES.values() for rule in rules], ids=lambda rule: rule.when)
def test_every_rule_is_in_the_table(rule: Rule):
    assert any(rule.holds(made_up(called_for)) for _, called_for, _ in CASES)
    assert not all(rule.holds(made_up(called_for)) for _, called_for, _ in CASES)


@pytest.mark.parametrize("all_right", [0.0, 0.2, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("all_wrong", [0.0, 0.2, 0.4, 0.5, 1.0])
def test_the_reward_is_one_thing(all_right, all_wrong):
    if all_right + all_wrong <= 1:
        found = [each for each in advise(made_up(signal(all_right, all_wrong))) if each.topic == "reward"]
        assert len(found) == 1 and density(made_up(signal(all_right, all_wrong))) in (
            "dense",
            "sparse",
            "used up",
            "mixed",
        )


def test_what_is_not_defined_calls_for_nothing_but_its_absence():
    """A judge that was never asked about a right answer."""
    empty = dict.fromkeys(("youden", "fpr", "unreadable", "repeating", "again", "not_asked"), value(NOTHING))
    judged = [each.text for each in advise(made_up(empty | {"gate.first": NOTHING})) if each.topic == "judge"]
    assert len(judged) == 1 and "J cannot be measured" in judged[0]


def test_advice_is_plain_text():
    for _, figures, _ in CASES:
        for advice in advise(made_up(figures)):
            assert not re.search(r"[{}]|nan", advice.text.replace("\\boxed{}", "")) and advice.because
