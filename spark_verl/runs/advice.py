"""From a run's metrics to advice: a table of thresholds, each with what to do.

The thresholds are rules of thumb, wide enough that a run which learns meets none of them. They are printed when a run
ends (:mod:`spark_verl.main`, :mod:`spark_verl.runs.summary`), stand on its page (:mod:`spark_verl.report`) and in
``docs/metrics.md``.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spark_verl.runs.course import MIN_PROMPTS, MIN_STEPS, Course
from spark_verl.runs.metrics import Metrics, read
from spark_verl.vocabulary import JUDGE_OBJECTIVES, Objective

DOCS_MARK = "from spark_verl/runs/advice.py: change it there. -->"
"""What stands above the table in ``docs/metrics.md``."""

POLICY = "spark/policy"
POINTWISE, PAIRWISE = f"spark/judge/{Objective.POINTWISE}", f"spark/judge/{Objective.PAIRWISE}"


@dataclass(frozen=True)
class Rule:
    """A piece of advice and when it is given.

    Attributes:
        topic: What it is about.
        figure: What is looked at; NaN where the rule does not apply.
        holds: Whether the figure calls for advice; comparisons with NaN are false.
        when: Both in words.
        text: What was seen, with ``{0}`` for the figure.
        remedy: What to do, most promising first.
    """

    topic: str
    figure: Callable[[Course], float]
    holds: Callable[[float], bool]
    when: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Advice:
    """Advice that a rule gave; ``because`` is its threshold."""

    topic: str
    text: str
    because: str
    remedy: str


def _when(condition: bool, figure: float) -> float:
    return figure if condition else math.nan


def _at_chance(prefix: str) -> Callable[[Course], float]:
    def figure(course: Course) -> float:
        accuracy = course.last(f"{prefix}/acc")
        risen = accuracy - course.first(f"{prefix}/acc") >= 0.05
        return _when(course.long_enough and not risen and course.last(f"{prefix}/parse_rate") >= 0.9, accuracy)

    return figure


def _label_share(prefix: str, name: str) -> Callable[[Course], float]:
    return lambda c: _when(c.prompts(prefix) >= MIN_PROMPTS, c.last(f"{prefix}/label_{name}"))


def _excess(prefix: str, name: str) -> Callable[[Course], float]:
    def figure(course: Course) -> float:
        said, right = course.last(f"{prefix}/{name}"), course.last(f"{prefix}/label_{name}")
        return _when(course.prompts(prefix) >= MIN_PROMPTS, said - right)

    return figure


def _no_signal(low: float, high: float) -> Callable[[Course], float]:
    return lambda c: _when(low <= c.last(f"{POLICY}/acc") < high, c.last(f"{POLICY}/zero_variance_rate"))


def _unread_verdicts(course: Course) -> float:
    rates = [1 - course.last(f"{prefix}/parse_rate") for prefix in (POINTWISE, PAIRWISE)]
    return max((rate for rate in rates if not math.isnan(rate)), default=math.nan)


def _too_long(course: Course) -> float:
    skipped = course.total("spark/judge/skipped/too_long")
    built = course.total(*(f"spark/judge/{objective}/groups" for objective in JUDGE_OBJECTIVES))
    return skipped / (skipped + built) if skipped + built else math.nan


def _failed(course: Course) -> float:
    groups = course.total(f"{POLICY}/groups") + course.total("spark/failed_groups")
    return course.total("spark/failed_groups") / groups if groups else math.nan


def _mostly(share: float) -> Callable[[float], bool]:
    return lambda figure: figure >= share


NO_SIGNAL = 0.7
RULES = (
    Rule(
        "questions",
        _no_signal(0.8, 1.01),
        _mostly(NO_SIGNAL),
        "at least 70 % of the groups scored all alike in the last third, and at least 80 % of the answers are right",
        "The questions are used up: in {0:.0%} of the groups all answers scored alike, mostly right.",
        "Harder questions; leave out those that are always right; more samples each (actor_rollout_ref.rollout.n). If "
        "the model is as good as you need it: done, stop earlier next time.",
    ),
    Rule(
        "questions",
        _no_signal(0.0, 0.2),
        _mostly(NO_SIGNAL),
        "at least 70 % of the groups scored all alike in the last third, and fewer than 20 % of the answers are right",
        "The questions are too hard: in {0:.0%} of the groups all answers scored alike, mostly wrong.",
        "Look at a few responses first: is the right answer there, in another form than the ground truth? Then easier "
        "questions, more samples each (actor_rollout_ref.rollout.n), or a model that was warmed up on the task.",
    ),
    Rule(
        "questions",
        _no_signal(0.2, 0.8),
        _mostly(NO_SIGNAL),
        "at least 70 % of the groups scored all alike in the last third, and 20 to 80 % of the answers are right",
        "Most questions teach nothing: in {0:.0%} of the groups all answers scored alike, some right and some wrong.",
        "Sample others in their place (algorithm.filter_groups.enable=true); leave out what is always right or always "
        "wrong (run_scripts/audit.sh finds the share); temperature 1; more samples each (actor_rollout_ref.rollout.n).",
    ),
    Rule(
        "responses",
        lambda c: c.last(f"{POLICY}/cut_rate"),
        _mostly(0.1),
        "at least 10 % of the responses to questions were as long as allowed in the last third",
        "{0:.0%} of the responses were cut off at the token limit.",
        "Raise data.max_response_length (DRY_RUN=1 shows what it costs), or ask for shorter answers "
        "(spark.reward.overlong_buffer).",
    ),
    Rule(
        "responses",
        lambda c: 1 - c.last(f"{POLICY}/parse_rate"),
        _mostly(0.1),
        "no answer could be parsed in at least 10 % of the responses in the last third",
        "In {0:.0%} of the responses no answer could be parsed: they count as wrong.",
        "Ask for \\boxed{} in the prompts; accept other places (spark.reward.fallbacks); see whether they are cut.",
    ),
    Rule(
        "judge",
        _at_chance(POINTWISE),
        lambda figure: figure <= 0.55,
        "at most 55 % of the pointwise verdicts are right in the last third, no 5 points more than in the first, in at "
        f"least {MIN_STEPS} steps",
        "The judge guesses: {0:.0%} of its pointwise verdicts are right, and that has not changed.",
        "Read its responses in the report: does it work the question out before the verdict? Give it room "
        "(spark.pointwise.max_response_length), words that ask for it (spark.templates), more prompts "
        "(spark.judge_prompts_per_group), more steps. A model that cannot answer the questions cannot judge them.",
    ),
    Rule(
        "judge",
        _at_chance(PAIRWISE),
        lambda figure: figure <= 0.55,
        f"the same of pairwise verdicts, in at least {MIN_STEPS} steps",
        "The judge guesses: {0:.0%} of its pairwise verdicts are right, and that has not changed.",
        "As for pointwise verdicts; pairs need groups with right and wrong answers (spark.pairwise.share_in_mixed).",
    ),
    Rule(
        "judge",
        _unread_verdicts,
        _mostly(0.1),
        "at least 10 % of the pointwise or of the pairwise verdicts could not be read in the last third",
        "{0:.0%} of the verdicts could not be read: they earn nothing.",
        "Where they are cut (spark/judge/*/cut_rate), raise spark.pointwise.max_response_length or "
        "spark.pairwise.max_response_length; else have the templates ask for the verdict in \\boxed{} at the end "
        "(spark.templates).",
    ),
    Rule(
        "labels",
        _label_share(POINTWISE, "yes_rate"),
        lambda figure: figure < 0.4 or figure > 0.6,
        "less than 40 % or more than 60 % of the pointwise labels are Yes in the last third, of at least "
        f"{MIN_PROMPTS} prompts",
        "The labels are skewed: {0:.0%} of the pointwise ones are Yes, so a judge earns by always saying one word.",
        "spark.balance.labels=true. If it is: too few groups have both outcomes to choose from, so harder (or easier) "
        "questions, or a lower spark.pointwise.share_in_unanimous.",
    ),
    Rule(
        "labels",
        _label_share(PAIRWISE, "a_rate"),
        lambda figure: figure < 0.4 or figure > 0.6,
        f"the same of A among pairwise labels, of at least {MIN_PROMPTS} prompts",
        "The labels are skewed: {0:.0%} of the pairwise ones are A.",
        "spark.balance.labels=true.",
    ),
    Rule(
        "verdicts",
        _excess(POINTWISE, "yes_rate"),
        lambda figure: abs(figure) >= 0.2,
        f"the share of Yes among pointwise verdicts is at least 20 points off that of the labels in the last third, of "
        f"at least {MIN_PROMPTS} prompts",
        "The judge prefers a word: its share of Yes is {0:+.0%} off the labels'.",
        "See whether it says so without looking (gallery of the report). Give it room to work the question out, "
        "templates that do not lead (spark.templates), a larger spark.pointwise.weight.",
    ),
    Rule(
        "verdicts",
        lambda c: c.total("spark/alarm/self_confirmation"),
        lambda figure: figure > 0,
        "spark/alarm/self_confirmation rang",
        "The judge said Yes more and more while accuracy did not rise ({0:.0f} steps).",
        "Go back to a checkpoint from before. Look for wrong answers that the verifier accepts, and whether "
        "spark.balance.labels holds; with self-reward, close the gate (spark.self_reward.gate=true) or leave it off.",
    ),
    Rule(
        "verifier",
        lambda c: c.last("spark/verify/timeout_rate"),
        _mostly(0.01),
        "at least 1 % of the verifications ran into the time limit in the last third",
        "{0:.1%} of the verifications ran into the time limit: these rows teach nothing.",
        "Look at their answers (status timeout in the rollout dumps): a ground truth that is an essay belongs into no "
        "symbolic comparison. Else raise spark.reward.timeout_s or spark.reward.num_workers.",
    ),
    Rule(
        "verifier",
        lambda c: c.last("spark/verify/error_rate"),
        _mostly(0.01),
        "at least 1 % of the verifications failed in the last third",
        "{0:.1%} of the verifications failed: these rows teach nothing.",
        "The log of the run has the first errors. A reward function of your own raises, or ground truths are empty.",
    ),
    Rule(
        "lost",
        _failed,
        _mostly(0.01),
        "at least 1 % of the groups of questions could not be sampled",
        "{0:.1%} of the groups failed and were left out.",
        "The log of the run says why; mostly prompts longer than the engine allows: data.filter_overlong_prompts=true, "
        "or raise data.max_prompt_length.",
    ),
    Rule(
        "lost",
        _too_long,
        _mostly(0.1),
        "at least 10 % of the judge prompts were skipped as too long",
        "{0:.0%} of the judge prompts did not fit.",
        "Raise data.max_prompt_length: a judge prompt is the question and a response. Or show answers instead of whole "
        "responses (spark.pointwise.cot_share and its like).",
    ),
    Rule(
        "lost",
        lambda c: c.total("spark/leaked_keys"),
        lambda figure: figure > 0,
        "spark/leaked_keys is not 0",
        "{0:.0f} rows were left behind in TransferQueue.",
        "This is a defect of the program: please report it, with metrics.jsonl and the end of the log.",
    ),
    Rule(
        "update",
        lambda c: _when(c.long_enough, c.progress("policy_acc")),
        lambda figure: figure <= -0.05,
        f"held-out accuracy fell by at least 5 points, in at least {MIN_STEPS} steps",
        "Held-out accuracy fell by {0:+.1%}.",
        "Take an earlier checkpoint; a lower actor_rollout_ref.actor.optim.lr, a higher "
        "actor_rollout_ref.actor.kl_loss_coef. Where training accuracy rose meanwhile, the questions are learned by "
        "heart: more of them.",
    ),
    Rule(
        "update",
        lambda c: float(sum(n for key, n in c.log.not_finite.items() if key.startswith("actor/"))),
        lambda figure: figure > 0,
        "a metric of actor/ is not a number",
        "Loss or gradient was not a number in {0:.0f} values.",
        "Go back to the last checkpoint before it; a lower actor_rollout_ref.actor.optim.lr, or float32.",
    ),
    Rule(
        "update",
        lambda c: c.least("training/rollout_actor_probs_pearson_corr"),
        lambda figure: figure < 0.95,
        "training/rollout_actor_probs_pearson_corr was below 0.95 in a step",
        "Sampler and actor disagree: the correlation of their probabilities went down to {0:.3f}.",
        "They have to use the same weights and precision: actor_rollout_ref.rollout.dtype, quantised weights, another "
        "attention (actor_rollout_ref.model.override_config.attn_implementation). "
        "`bash run_scripts/gpu_check.sh` compares them.",
    ),
    Rule(
        "self-reward",
        lambda c: _when(c.long_enough, c.last("spark/self_reward/weight")),
        lambda figure: figure == 0,
        f"the gate was closed in every step of the last third, in at least {MIN_STEPS} steps",
        "The gate stayed closed, so unlabelled questions taught nothing.",
        "The report and spark/self_reward/closed/* say why. Too few audit groups: more steps, more labelled questions, "
        "or a larger spark.self_reward.audit_share. No correlation: train the judge on labels first. Unreadable "
        "verdicts: see above.",
    ),
    Rule(
        "self-reward",
        lambda c: _when(c.last("spark/self_reward/weight") > 0, c.last(f"{POLICY}/zero_variance_rate")),
        _mostly(NO_SIGNAL),
        "at least 70 % of the labelled groups scored all alike in the last third, with the gate open",
        "The labels are used up, and the judge is worth something: {0:.0%} of the labelled groups teach nothing.",
        "A larger spark.self_reward.unlabelled_share.",
    ),
)
"""All advice, in the order in which it is given."""


def advise(log: Metrics) -> list[Advice]:
    """The advice that these metrics call for."""
    course = Course(log)
    found = [(rule, rule.figure(course)) for rule in RULES]
    given = [(rule, figure) for rule, figure in found if rule.holds(figure)]
    return [Advice(rule.topic, rule.text.format(figure), rule.when, rule.remedy) for rule, figure in given]


def table(advice: list[Advice]) -> str:
    """Advice as a person reads it in a terminal; "" for none."""
    lines = ["needs attention (rules of thumb: docs/metrics.md)"] if advice else []
    for one in advice:
        lines += textwrap.wrap(one.text, 100, initial_indent=f"  {one.topic:<13}", subsequent_indent=" " * 15)
        lines += textwrap.wrap(one.remedy, 100, initial_indent=" " * 15 + "-> ", subsequent_indent=" " * 18)
    return "\n".join(lines)


def of_file(path: Path) -> str:
    """The :func:`table` of a log; "" where there is none, as with another logger or on another machine."""
    return table(advise(read(path))) if path.is_file() else ""


def as_markdown() -> str:
    """The rules as the table of ``docs/metrics.md``."""
    rows = [f"| {rule.topic} | {rule.when} | {rule.remedy} |" for rule in RULES]
    return "\n".join(["| about | seen when | what to do |", "|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Write the table into the docs of this checkout."""
    docs = Path(__file__).parents[2] / "docs" / "metrics.md"
    head, mark, _ = docs.read_text(encoding="utf-8").partition(DOCS_MARK)
    docs.write_text(f"{head}{mark}\n\n{as_markdown()}", encoding="utf-8")


if __name__ == "__main__":
    main()
