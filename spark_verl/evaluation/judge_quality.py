"""How good a judge is: right verdicts, position bias, calibration, and how it sees its own answers; with pictures.

Every figure is a pure function of :class:`Judged` items, whatever they come from; :func:`from_results` takes them from
an evaluation's records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import brier_score_loss, precision_recall_fscore_support, roc_auc_score

from spark_verl.evaluation.benchmarks.benchmark import mean
from spark_verl.evaluation.figures import MISSING, Record, markdown, number, percent, without_nan
from spark_verl.vocabulary import UNDECIDED, LabelForm, Objective

BINS = 10
OWN_ANSWERS = "own answers"
_BLUE, _ORANGE, _GREY = "#2a6fbb", "#d9822b", "#8a8f98"


@dataclass(frozen=True)
class Judged:
    """One judgement and the truth.

    Attributes:
        label: The right verdict.
        p_positive: The judge's probability of the favourable label ("Yes", "A"); None where it is not known.
        verdict: What the judge said; None for an unparsable judgement.
    """

    label: str
    p_positive: float | None
    verdict: str | None


def verdicts(items: Sequence[Judged], form: LabelForm) -> dict[str, Any]:
    """Accuracy, and precision, recall and F1 of every label.

    Returns:
        ``count``; ``unparsable`` (share); ``accuracy`` over all, where an unparsable judgement is wrong;
        ``balanced_accuracy``, the mean of the recalls, which a judge with one answer for everything cannot raise above
        0.5; for every label ``precision``, ``recall``, ``f1`` and ``support``. NaN for what is not defined.
    """
    truth, said = [item.label for item in items], [item.verdict or "" for item in items]
    measures = precision_recall_fscore_support(truth, said, labels=form.labels, zero_division=np.nan)
    by_label = pd.DataFrame(measures, ["precision", "recall", "f1", "support"], list(form.labels))
    return {
        "count": len(items),
        "unparsable": mean(item.verdict is None for item in items),
        "accuracy": mean(item.verdict == item.label for item in items),
        **by_label.to_dict(),
        "balanced_accuracy": float(by_label.loc["recall"].mean(skipna=False)),
    }


def position(items: Sequence[Judged]) -> dict[str, float]:
    """Position bias of pairwise judgements.

    Returns:
        ``chose_first``: share of A among parsable verdicts; ``first_is_right``: share of A among their labels;
        ``bias``: the difference, 0 without bias; ``accuracy_first``, ``accuracy_second``: accuracy where the right
        response stands first and second, an unparsable judgement being wrong. NaN for what is not defined.
    """
    first, second = LabelForm.A_B.labels
    parsed = [item for item in items if item.verdict is not None]
    chose, truth = mean(item.verdict == first for item in parsed), mean(item.label == first for item in parsed)
    return {
        "chose_first": chose,
        "first_is_right": truth,
        "bias": chose - truth,
        "accuracy_first": mean(item.verdict == first for item in items if item.label == first),
        "accuracy_second": mean(item.verdict == second for item in items if item.label == second),
    }


def _probabilities(items: Iterable[Judged], form: LabelForm) -> pd.DataFrame:
    """``probability`` of the favourable label, and ``truth``, 1 where it is the right one, as far as known."""
    known = [(item.p_positive, float(item.label == form.labels[0])) for item in items if item.p_positive is not None]
    return pd.DataFrame(known, columns=["probability", "truth"], dtype=float)


def calibration(items: Iterable[Judged], form: LabelForm) -> dict[str, Any] | None:
    """Probabilities of the favourable label against frequencies.

    Args:
        items: Judgements; those without a probability are left out.
        form: Which labels.

    Returns:
        ``ece``, the expected calibration error (Guo et al., arXiv 1706.04599): the mean over judgements of the distance
        between probability and frequency in a judgement's bin, 0 is perfect; ``brier``: mean squared distance between
        probability and truth, 0.25 for a judge that always says 0.5; ``count``; ``bins`` of equal width,
        empty ones left out: ``low``, ``high``, ``count``, ``probability`` (mean), ``frequency`` (share whose label is
        the favourable one). None without any probability.
    """
    known = _probabilities(items, form)
    if known.empty:
        return None
    edges = np.arange(BINS + 1) / BINS
    # A probability on the border of two bins is in the upper one; 1 is in the last.
    groups = known.groupby(np.digitize(known.probability, edges[1:-1]))
    filled = groups.mean().rename(columns={"truth": "frequency"})
    filled = filled.assign(low=edges[filled.index], high=edges[filled.index + 1], count=groups.size())
    return {
        "ece": float(np.average((filled.probability - filled.frequency).abs(), weights=filled["count"])),
        "brier": float(brier_score_loss(known.truth, known.probability)),
        "count": len(known),
        "bins": filled.to_dict("records"),
    }


def separation(items: Iterable[Judged], form: LabelForm) -> dict[str, float]:
    """How far the judge's probability tells right from wrong; of own answers this is SPARK's figure 4.

    Returns:
        ``p_on_right``, ``p_on_wrong``: mean probability of the favourable label where it is true and where not;
        ``gap``: their difference; ``auc``: probability that a right one gets more than a wrong one, ties counting one
        half (0.5: no idea); ``right``, ``wrong``: how many. NaN where one of the kinds is missing.
    """
    known = _probabilities(items, form)
    right, wrong = (known.probability[known.truth == truth] for truth in (1, 0))
    return {
        "p_on_right": float(right.mean()),
        "p_on_wrong": float(wrong.mean()),
        "gap": float(right.mean() - wrong.mean()),
        "auc": float(roc_auc_score(known.truth, known.probability)) if len(right) and len(wrong) else np.nan,
        "right": len(right),
        "wrong": len(wrong),
    }


def quality(items: Sequence[Judged], form: LabelForm, *, pairwise: bool = False) -> dict[str, Any]:
    """Everything above in one dict, ready for JSON: None in place of NaN."""
    found = {"label_form": form, **verdicts(items, form)}
    found |= {"separation": separation(items, form), "calibration": calibration(items, form)}
    return without_nan(found | {"position": position(items)} if pairwise else found)


def from_results(records: Iterable[Record]) -> dict[str, tuple[LabelForm, list[Judged]]]:
    """Judgements from an evaluation's records.

    Judge questions of a benchmark, answered under ``single``, by benchmark and data source; and the model's judgements
    on its own answers, by benchmark, from the one strategy that has most of them (strategies share judgements).

    Returns:
        ``{name: (label form, judgements)}``; samples that the verifier could not decide are left out.
    """
    found: dict[str, tuple[LabelForm, list[Judged]]] = {}
    own: dict[tuple[str, str], list[Judged]] = {}
    for record in records:
        if record["error"] is not None:
            continue
        label, strategy = record["benchmark"], record["strategy"]
        if record["label_form"] is not None and strategy == "single":
            form = LabelForm(record["label_form"])
            name = f"{label}: {record['kind']}" if record["kind"] else label
            if found.get(name, (form,))[0] != form:
                name = f"{name} ({form})"  # verdicts of two forms cannot be counted together
            sample = record["samples"][record["final"]]
            item = Judged(record["ground_truth"], sample.get("p_positive"), sample["answer"])
            found.setdefault(name, (form, []))[1].append(item)
        # Whatever words were used, "right" and "wrong" are Yes and No here.
        yes, no = LabelForm.YES_NO.labels
        for judgement in record["judgements"]:
            sample = record["samples"][judgement["about"]]
            if sample["status"] not in UNDECIDED:
                said = {True: yes, False: no, None: None}[judgement["says_right"]]
                item = Judged(yes if sample["correct"] else no, judgement["p_right"], said)
                own.setdefault((label, strategy), []).append(item)
    for (label, _), items in own.items():
        name = f"{label}: {OWN_ANSWERS}"
        if len(items) > len(found.get(name, (None, ()))[1]):
            found[name] = (LabelForm.YES_NO, items)
    return found


def report(judged: Mapping[str, tuple[LabelForm, Sequence[Judged]]]) -> dict[str, Any]:
    """:func:`quality` of everything that :func:`from_results` found.

    Of A and B, pointwise prompts mean right and wrong; all others mean two places.
    """
    return {
        name: quality(items, form, pairwise=form is LabelForm.A_B and f"spark/{Objective.POINTWISE}" not in name)
        for name, (form, items) in judged.items()
    }


COLUMNS = (
    "judgements | n | accuracy | balanced | F1 + | F1 - | unparsable | P(+) on right | "
    "on wrong | AUC | ECE | Brier | first chosen (is right) | acc. first / second"
).split(" | ")


def table(figures: Mapping[str, Any]) -> str:
    """The figures of :func:`report` as a Markdown table, rates in per cent."""
    return markdown([COLUMNS, *(_row(name, found) for name, found in figures.items())])


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    positive, negative = found["label_form"].labels
    rates = (found["accuracy"], found["balanced_accuracy"], found[positive]["f1"], found[negative]["f1"])
    apart, calibrated, place = found["separation"], found["calibration"] or {}, found.get("position")
    first = accuracies = MISSING
    if place:
        first = f"{percent(place['chose_first'])} ({percent(place['first_is_right'])})"
        accuracies = f"{percent(place['accuracy_first'])} / {percent(place['accuracy_second'])}"
    return (
        name,
        str(found["count"]),
        *map(percent, (*rates, found["unparsable"])),
        *(number(apart[key]) for key in ("p_on_right", "p_on_wrong", "auc")),
        *(number(calibrated.get(key)) for key in ("ece", "brier")),
        first,
        accuracies,
    )


# -- pictures ----------------------------------------------------------------------------------------------------------


def reliability(figures: Mapping[str, Any], path: Path) -> None:
    """Draw one reliability diagram per kind of judgement; nothing where none has probabilities.

    Args:
        figures: From :func:`report`.
        path: PNG file.
    """
    found = {name: figure for name, figure in figures.items() if figure["calibration"]}
    if not found:
        return
    # Without pyplot: no global state, no display.
    canvas = Figure(figsize=(3.6 * len(found), 3.9), layout="constrained")
    for (name, figure), axes in zip(found.items(), canvas.subplots(1, len(found), squeeze=False)[0], strict=True):
        calibrated, bins = figure["calibration"], pd.DataFrame(figure["calibration"]["bins"])
        share = bins["count"] / calibrated["count"]
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
        axes.bar(bins.low, share, width=1 / BINS, align="edge", color=_GREY, alpha=0.25)
        # A bin with a handful of judgements must not look like one with hundreds.
        axes.scatter(bins.probability, bins.frequency, s=10 + 120 * share, color=_BLUE, zorder=3, clip_on=False)
        measures = f"ECE {calibrated['ece']:.3f}, Brier {calibrated['brier']:.3f}, n={calibrated['count']}"
        axes.set_title(f"{name}\n{measures}", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=f"P({figure['label_form'].labels[0]})")
    canvas.axes[0].set_ylabel("how often it is true (grey: share of judgements)")
    canvas.savefig(path, dpi=150)


def own_answers(items: Sequence[Judged], path: Path) -> None:
    """Draw P(right) over the model's own right and wrong answers (SPARK, figure 4); nothing where there is none.

    Args:
        items: Judgements on own answers, labels Yes and No.
        path: PNG file.
    """
    known = _probabilities(items, LabelForm.YES_NO)
    if known.empty:
        return
    canvas = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = canvas.subplots()
    for truth, name, colour in ((1, "right", _BLUE), (0, "wrong", _ORANGE)):
        values = known.probability[known.truth == truth]
        if len(values):
            # Each kind sums to 1, or the rarer one could not be seen.
            weights, text = np.full(len(values), 1 / len(values)), f"own {name} answers (n={len(values)})"
            axes.hist(values, BINS, range=(0, 1), weights=weights, color=colour, alpha=0.6, label=text)
    axes.set(xlim=(0, 1), xlabel="P(right) by the model itself", ylabel="share")
    axes.legend(fontsize=8, loc="upper center")
    canvas.savefig(path, dpi=150)
