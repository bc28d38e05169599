"""From the records of an audit to its figures, each with a 95 % interval over questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from spark_verl.audit.resampling import Bootstrap, Draws, divide, interval
from spark_verl.config.schema import SelfRewardConfig
from spark_verl.self_reward import AnswerClass, ScoredGroup, SelfReward
from spark_verl.self_reward.gate import correlation, cross_fitted
from spark_verl.self_reward.posterior import Posterior
from spark_verl.self_reward.rewards import class_rewards, sample_rewards, sample_truth, teaches
from spark_verl.vocabulary import UNDECIDED, SelfRewardKind, Supervision

BINS = 10
"""Of the reliability table."""

COSTS = ("prompt_tokens", "completion_tokens", "seconds")


@dataclass(frozen=True)
class Audited:
    """A question that was answered and judged.

    Attributes:
        group: Its classes of answers with their verdicts and their truth.
        right: Of each sample that was verified, whether it is right.
        answering, judging: What it cost, by :data:`COSTS`.
    """

    group: ScoredGroup
    right: tuple[bool, ...]
    answering: Mapping[str, float]
    judging: Mapping[str, float]

    @property
    def measures(self) -> bool:
        """Whether it measures anything: some answer that could not be verified may have been right."""
        return bool(self.right) and (self.group.known or not self.group.classes)


def audited(record: Mapping[str, Any], answers: int) -> Audited:
    """Read a line of an audit's results back.

    Args:
        record: Written for :class:`spark_verl.audit.asking.Audit`.
        answers: Its field.
    """
    samples, judgements = record["samples"], record["judgements"]
    decided = {i: each["correct"] for i, each in enumerate(samples) if each["status"] not in UNDECIDED}
    sessions: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        if sample["pool"] is not None:
            sessions.setdefault(sample["pool"], []).append(index)
    by_size = [sessions[number] for number in sorted(sessions)]
    classes = []
    for members in by_size[:answers]:
        known = [decided[index] for index in members if index in decided]
        said = [each for each in judgements if each["about"] in members]
        read = [each["says_right"] for each in said if each["says_right"] is not None]
        answer = samples[said[0]["about"] if said else members[0]]["answer"]
        right = 2 * sum(known) > len(known) if known else None
        classes.append(AnswerClass(answer, tuple(members), sum(read), len(read), len(said), right))
    group = ScoredGroup(
        question=record["digest"],  # the same question in two rows is one
        supervision=Supervision.AUDIT,
        classes=tuple(classes),
        unanswered=tuple(index for index, each in enumerate(samples) if each["pool"] is None),
        left_out=tuple(index for members in by_size[answers:] for index in members),
    )
    return Audited(group, tuple(decided.values()), _costs(samples), _costs(judgements))


def _costs(requests: Iterable[Mapping[str, float]]) -> dict[str, float]:
    requests = list(requests)
    return {name: sum(each[name] for each in requests) for name in COSTS}


def figures(found: Sequence[Audited], config: SelfRewardConfig, seed: int = 0) -> dict[str, Any]:
    """All figures of questions that measure something (:attr:`Audited.measures`).

    Args:
        found: The questions; at least one.
        config: Self-reward as training would have it: its gate, and how often it asks.
        seed: Of the bootstrap.

    Returns:
        Intervals as dicts (``value``, ``low``, ``high``, ``count``), shares in [0, 1], NaN for what is not defined:
        those of :func:`_answers`, :func:`_judge`, :func:`_rewards`, :func:`_picks` and :func:`_cost`;
        ``calibration`` of the posterior and of the share of Yes, see :func:`_calibration`; ``gate``, see :func:`_gate`.
    """
    groups = [each.group for each in found]
    draws = Bootstrap([group.question for group in groups], seed)
    rewards = {kind: [class_rewards(kind, group, Posterior()) for group in groups] for kind in SelfRewardKind}
    # The only one with coefficients.
    rewards[SelfRewardKind.POSTERIOR] = cross_fitted(groups, partial(class_rewards, SelfRewardKind.POSTERIOR))
    classes = [each for group in groups for each in group.classes]
    of_classes = draws.of_parts([number for number, group in enumerate(groups) for _ in group.classes])
    right = np.array([each.right for each in classes], dtype=bool)
    return {
        "questions": draws.questions,
        **_answers(found, draws),
        **_judge(classes, right, of_classes),
        "rho": _rho(groups, rewards, config.min_std, draws),
        "picks": _picks(found, rewards, draws),
        "calibration": {
            kind.value: _calibration(np.array(sum(rewards[kind], [])), right, of_classes)
            for kind in (SelfRewardKind.POSTERIOR, SelfRewardKind.JUDGE)
        },
        "cost": _cost(found, draws),
        "gate": _gate(groups, config, seed),
    }


def _intervals(count: int, **figures: Draws) -> dict[str, Any]:
    return {name: asdict(interval(values, count)) for name, values in figures.items()}


def _answers(found: Sequence[Audited], draws: Bootstrap) -> dict[str, Any]:
    """What the verifier says.

    Returns:
        ``pass_rate``; ``all_right`` and ``all_wrong``, shares of the groups, and ``no_signal``, their sum: there GRPO
        learns nothing; ``unanswered``: share of the samples without an answer; ``right_per_question``: how many groups
        have 0, 1, 2, .. right samples.
    """
    right = np.array([sum(each.right) for each in found])
    decided = np.array([len(each.right) for each in found])
    sizes = [each.group.size for each in found]
    unanswered = draws.ratio([len(each.group.unanswered) for each in found], sizes)
    samples = _intervals(sum(sizes), pass_rate=draws.ratio(right, decided), unanswered=unanswered)
    all_right, all_wrong = draws.ratio(right == decided), draws.ratio(right == 0)
    groups = _intervals(len(found), all_right=all_right, all_wrong=all_wrong, no_signal=all_right + all_wrong)
    return samples | groups | {"right_per_question": np.bincount(right, minlength=max(sizes) + 1).tolist()}


def _judge(classes: Sequence[AnswerClass], right: np.ndarray, draws: Bootstrap) -> dict[str, Any]:
    """How the verdicts compare with the truth.

    An error is *systematic* as far as it repeats when the same answer is judged again, and random as far as it does
    not. With e wrong ones among the n verdicts on an answer, p = Σe / Σn is the share of wrong verdicts and
    P = Σ e(e-1)/(n-1) / Σn that of pairs about one answer which are both wrong. P = p² where errors are thrown anew
    each time, P = p where they are fixed. ``repeating`` is (P - p²) / (p - p²), the correlation of two errors about one
    answer: the share of the errors' variance that lies between answers (intra-class correlation; with as many verdicts
    on each answer it is the estimator of Fleiss and Cuzick, 1979). It may come out slightly below 0. ``again`` is
    P / p: a wrong verdict is that often wrong again, against p where errors are random. A bias towards Yes or No is
    systematic, too. Asking more often averages out the random part only.

    Returns:
        ``tpr`` and ``fpr``, shares of Yes on right and on wrong answers, ``youden`` = TPR - FPR; ``error`` = p,
        ``repeating``, ``again``; ``unreadable``: share of the verdicts; ``not_asked``: share of the answers that could
        not be asked about (too long a prompt); ``yes``: how many right and wrong answers have 0, 1, .. Yes.
    """
    yes, read, asked = np.array([(each.yes, each.read, each.asked) for each in classes], dtype=int).reshape(-1, 3).T
    tpr, fpr = draws.ratio(yes * right, read * right), draws.ratio(yes * ~right, read * ~right)
    wrong, repeated = np.where(right, read - yes, yes), read > 1
    error = draws.ratio(wrong * repeated, read * repeated)
    pairs = draws.ratio(wrong * (wrong - 1) / np.maximum(read - 1, 1) * repeated, read * repeated)
    correlated = divide(pairs - error**2, error - error**2)
    return {
        **_intervals(int(read[right].sum()), tpr=tpr),
        **_intervals(int(read[~right].sum()), fpr=fpr),
        **_intervals(int(read.sum()), youden=tpr - fpr),
        **_intervals(int(read[repeated].sum()), error=error, repeating=correlated, again=divide(pairs, error)),
        **_intervals(int(asked.sum()), unreadable=1 - draws.ratio(read, asked)),
        **_intervals(len(classes), not_asked=draws.ratio(asked == 0)),
        "yes": {
            name: np.bincount(yes[(right == truth) & (read > 0)], minlength=max(asked, default=0) + 1).tolist()
            for name, truth in (("right", True), ("wrong", False))
        },
    }


def _rho(
    groups: Sequence[ScoredGroup],
    rewards: Mapping[SelfRewardKind, list[list[float]]],
    min_std: float,
    draws: Bootstrap,
) -> dict[str, Any]:
    """How far rewards go with the truth within a question: for every reward the mean of the correlation within a group.

    As in the gate, it is about the groups whose samples the reward would tell apart, of which those that are all right
    or all wrong count as 0, and the posterior's coefficients are fitted on other questions than the one it rewards.
    """
    truths = [sample_truth(group) for group in groups]
    found: dict[str, Any] = {}
    for kind, of_groups in rewards.items():
        given = [sample_rewards(group, of_classes) for group, of_classes in zip(groups, of_groups, strict=True)]
        taught = [teaches(one.values(), min_std) for one in given]
        values = [
            correlation([*one.values()], [truth[session] for session in one]) if teaching else 0.0
            for one, truth, teaching in zip(given, truths, taught, strict=True)
        ]
        found |= _intervals(sum(taught), **{kind.value: draws.ratio(values, taught)})
    return found


def _picks(
    found: Sequence[Audited], rewards: Mapping[SelfRewardKind, list[list[float]]], draws: Bootstrap
) -> dict[str, Any]:
    """One answer to each question, picked by its reward; what is equal shares the pick.

    Returns:
        ``vote``, ``judge`` and ``posterior``: accuracy of the pick; ``best``: some sample is right, the most that
        picking could give; ``posterior_vs_vote``: the difference on the same questions; ``agreement``: how often judge
        and majority vote pick the same answer, over questions with any answer.
    """
    kinds = (SelfRewardKind.VOTE, SelfRewardKind.JUDGE, SelfRewardKind.POSTERIOR)
    shares = {kind: [_favourites(of_classes) for of_classes in rewards[kind]] for kind in kinds}
    right = [[bool(each.right) for each in one.group.classes] for one in found]
    accuracy = {kind.value: draws.ratio(_overlaps(shares[kind], right)) for kind in kinds}
    same = _overlaps(shares[SelfRewardKind.VOTE], shares[SelfRewardKind.JUDGE])
    return _intervals(
        len(found),
        **accuracy,
        best=draws.ratio([any(one.right) for one in found]),
        posterior_vs_vote=accuracy["posterior"] - accuracy["vote"],
        agreement=draws.ratio(same, [bool(each) for each in right]),
    )


def _overlaps(ones: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> list[float]:
    return [float(np.dot(*pair)) for pair in zip(ones, others, strict=True)]


def _favourites(scores: Sequence[float]) -> list[float]:
    top = [score >= max(scores) - 1e-9 for score in scores]
    return [each / sum(top) for each in top]


def _calibration(rewards: np.ndarray, right: np.ndarray, draws: Bootstrap) -> dict[str, Any]:
    """Rewards of answers as probabilities, against how often the answers are right.

    Returns:
        ``brier``: mean squared distance between reward and truth; ``ece``: expected calibration error, the mean
        distance between reward and frequency in bins of equal width (of a few answers it is above 0 however well the
        rewards are calibrated); ``bins``: the reliability table, empty bins left out.
    """
    bins = np.minimum((rewards * BINS).astype(int), BINS - 1)
    columns = (np.ones(len(rewards)), rewards, right)
    count, promised, kept = (draws.total(np.eye(BINS)[bins] * each[:, None]) for each in columns)
    ece = divide(np.abs(promised - kept).sum(axis=1), count.sum(axis=1))
    return {
        **_intervals(len(rewards), brier=draws.ratio((rewards - right) ** 2), ece=ece),
        "bins": [
            {
                "low": b / BINS,
                "high": (b + 1) / BINS,
                "answers": int(count[0, b]),
                "reward": float(promised[0, b] / count[0, b]),
                "right": float(kept[0, b] / count[0, b]),
            }
            for b in np.flatnonzero(count[0]).tolist()
        ],
    }


def _cost(found: Sequence[Audited], draws: Bootstrap) -> dict[str, Any]:
    """What a question costs.

    Returns:
        ``answering`` and ``judging``: tokens, and seconds of all requests added up, waiting in the server's queue
        included; ``judging_share`` of the tokens.
    """
    cost: dict[str, Any] = {}
    tokens = {}
    for name in ("answering", "judging"):
        spent = {unit: np.array([getattr(one, name)[unit] for one in found]) for unit in COSTS}
        spent["tokens"] = tokens[name] = spent["prompt_tokens"] + spent["completion_tokens"]
        cost[name] = _intervals(len(found), **{unit: draws.ratio(values) for unit, values in spent.items()})
    share = draws.ratio(tokens["judging"], tokens["judging"] + tokens["answering"])
    return cost | _intervals(len(found), judging_share=share)


def _gate(groups: Sequence[ScoredGroup], config: SelfRewardConfig, seed: int) -> dict[str, Any]:
    """Where training's own gate would start if these were its audit groups.

    Returns:
        ``weight``; ``closed``: why it is 0, None where it is not; ``rho`` with ``low`` and ``high``; ``first`` and
        ``first_vote``: share of the groups with a right answer in which it ranks first; ``miscalibration``: mean
        posterior minus accuracy; ``coefficients``: of the posterior.
    """
    trainer = SelfReward(config, seed)
    step = trainer.step({f"{number:09}": group for number, group in enumerate(groups)}, step=0)
    measured = trainer.measured
    assert measured is not None  # there are groups
    names = ("rho", "low", "high", "first", "first_vote")
    return {
        "weight": step.weight,
        "closed": step.closed and step.closed.value,
        **{name: getattr(measured, name) for name in names},
        "miscalibration": measured.reward - measured.accuracy,
        "coefficients": asdict(trainer.posterior),
    }
