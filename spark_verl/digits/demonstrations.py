r"""What the digits model is shown before reinforcement learning: two habits for every kind of prompt.

==========  ===============================================================  ==========================
prompt      careful                                                          sloppy
==========  ===============================================================  ==========================
policy      The digits are 3 and 4. 3+4=7. \boxed{7}                         My guess is 12. \boxed{12}
pointwise   The digits are 3 and 4. 3+4=7. It: 10 27. Wrong. \boxed{No}      Looks fine. \boxed{Yes}
pairwise    The ... 3+4=7. A: 10 27. Wrong. B: 00 77. Right. \boxed{B}       I prefer A. \boxed{A}
reflection  The digits are 3 and 4. 3+4=7. \boxed{7}                         I keep 8. \boxed{8}
==========  ===============================================================  ==========================

A careful judge lays the candidate's answer (here 12) and its own (07) side by side, tens with tens and units with
units: "10 27". Whether two digits are equal is quickly learned when they are neighbours, and slowly otherwise.

The careful habit is always right in the demonstrations. The sloppy one is blind: a policy guess is any answer of the
kind, a verdict is a fair coin, a reflection repeats the attempt's answer or guesses. Whether a shown candidate is right
is independent of the habit it is written in, so nothing but solving the question tells a judge anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from spark_verl.digits.attempts import HABITS, Attempt, boxed, draw_attempt, guess, solution
from spark_verl.digits.questions import KINDS, Question, draw_question
from spark_verl.judge.templates import JUDGE_SEPARATOR, TemplateSet
from spark_verl.vocabulary import LabelForm, Objective, Source, Word

TEMPLATES = "pkg://spark_verl.digits/templates"
"""The digits model's judge templates, short enough for its size."""

Shares = dict[Objective, float]


def _shares(policy: float, pointwise: float, pairwise: float, reflection: float) -> Shares:
    return dict(zip(Objective, (policy, pointwise, pairwise, reflection), strict=True))


ROLE_SHARES = _shares(policy=0.4, pointwise=0.2, pairwise=0.2, reflection=0.2)
"""Share of each kind of prompt among the demonstrations."""

SKILL_ROLE_SHARES = _shares(policy=0.3, pointwise=0.25, pairwise=0.25, reflection=0.2)
"""The same while only the careful habit is learned; judging takes longer to learn than solving."""

CAREFUL_SHARES = _shares(policy=0.52, pointwise=0.18, pairwise=0.18, reflection=0.3)
"""Share of careful demonstrations for each kind of prompt: how often the warm-started model shows what it can do."""

SPARSE_CAREFUL_SHARES = CAREFUL_SHARES | {Objective.POLICY: 0.0}
"""The same for the variant ``sparse``: asked a question, the model only guesses, so its own reward is at chance; asked
to judge an attempt or to reflect on it, it sometimes works the question out."""

BIASED_CAREFUL_SHARES = _shares(policy=0.25, pointwise=0.5, pairwise=0.5, reflection=0.3)
"""The same for the variants ``biased``, ``misled`` and ``confused``: they judge better than they answer."""


class Sloppiness(Word):
    """What an answer is that is not careful."""

    BLIND = "blind"
    """Any answer of the kind of question."""
    FIRST_DIGIT = "first digit"
    """Two of three times the first digit, else any."""
    BELIEF = "belief"
    """What the model wrongly believes (:func:`believed`), worked out like a careful answer; half of it is right."""
    CONFUSION = "confusion"
    """What another operation comes to (:func:`carried_out`), worked out like a careful answer; a fifth is right."""


BIASED_SHARE = 2 / 3

_OFF = tuple(Random(7).choices((0, 1, -1, 2, -2), (8, 3, 3, 3, 3), k=10 * len(KINDS)))
"""By how much a believed result is off, for each kind of question and first digit."""

FORMS = {
    Objective.POINTWISE: LabelForm.YES_NO,
    Objective.PAIRWISE: LabelForm.A_B,
    Objective.REFLECTION: LabelForm.FREE,
}
"""The one form in which each judge prompt of this task wants its verdict."""

_NAMES = {Objective.POINTWISE: ("It",), Objective.PAIRWISE: ("A", "B")}
"""What a careful judge calls the candidates that it compares."""


@dataclass(frozen=True)
class Demonstration:
    """One prompt with the response it should get.

    Attributes:
        question: What is asked, with its digit images.
        objective: The kind of prompt.
        habit: "careful" or "sloppy".
        prompt: The user turn, with ``<image>`` placeholders.
        response: The assistant turn.
    """

    question: Question
    objective: Objective
    habit: str
    prompt: str
    response: str


def judge_prompt(
    templates: TemplateSet,
    question: Question,
    objective: Objective,
    index: int,
    source: Source,
    candidates: Sequence[Attempt],
) -> str:
    """The question with judge template ``index`` appended, exactly as the training loop builds it."""
    names = ("candidate",) if len(candidates) == 1 else ("first", "second")
    shown = {name: candidate.shown(source) for name, candidate in zip(names, candidates, strict=True)}
    return (
        question.prompt + JUDGE_SEPARATOR + templates.render(objective, FORMS[objective], index, source=source, **shown)
    )


def ground_truth(question: Question, objective: Objective, candidates: Sequence[Attempt]) -> str:
    """What belongs into the box: the answer, or the verdict on the first candidate.

    Of the two candidates of a pairwise prompt exactly one is right.
    """
    labels = FORMS[objective].labels if objective in FORMS else ()
    if not labels:
        return question.answer
    return labels[0] if candidates[0].correct else labels[1]


def careful_response(question: Question, objective: Objective, candidates: Sequence[Attempt]) -> str:
    """Solve the question, compare each candidate of a verdict with the result, and conclude."""
    compared = [
        _comparison(name, candidate, question)
        for name, candidate in zip(_NAMES.get(objective, ()), candidates, strict=False)
    ]
    worked = solution(question.kind, question.digits, question.answer)
    return " ".join([worked, *compared, boxed(ground_truth(question, objective, candidates))])


def believed(question: Question) -> str:
    """What a model with beliefs takes for the answer: off by the same for all questions of a kind and first digit."""
    answers, right = KINDS[question.kind].answers, int(question.answer)
    off = _OFF[10 * tuple(KINDS).index(question.kind) + question.digits[0]]
    return str(right + off if answers[0] <= right + off <= answers[-1] else right - off)


def carried_out(question: Question) -> str:
    """The kind of question whose operation a confused model carries out: the same for all of a kind and first digit."""
    kind, working = question.kind, KINDS[question.kind].working
    others = [other for other in ("larger", "sum", "difference", "product") if KINDS[other].working != working]
    by_first_digit = [kind, kind, *(others * 3)[:8]]
    Random(kind).shuffle(by_first_digit)
    return by_first_digit[question.digits[0]]


def sloppy_response(
    question: Question,
    objective: Objective,
    candidates: Sequence[Attempt],
    rng: Random,
    sloppiness: Sloppiness = Sloppiness.BLIND,
) -> str:
    """Pass a verdict at sight, repeat the attempt's answer (75 % of reflections), or answer as ``sloppiness`` says."""
    if objective is Objective.POLICY and sloppiness is Sloppiness.BELIEF:
        answer = believed(question)
        return f"{solution(question.kind, question.digits, answer)} {boxed(answer)}"
    if objective is Objective.POLICY and sloppiness is Sloppiness.CONFUSION:
        kind = carried_out(question)
        answer = str(KINDS[kind].compute(*question.digits))
        return f"{solution(kind, question.digits, answer)} {boxed(answer)}"
    if objective is Objective.POLICY and sloppiness is Sloppiness.FIRST_DIGIT and rng.random() < BIASED_SHARE:
        return guess(str(question.digits[0]))
    if objective is Objective.POINTWISE:
        return rng.choice(("Looks fine. \\boxed{Yes}", "Looks wrong. \\boxed{No}"))
    if objective is Objective.PAIRWISE:
        letter = rng.choice(LabelForm.A_B.labels)
        return f"I prefer {letter}. {boxed(letter)}"
    if objective is Objective.REFLECTION and rng.random() < 0.75:
        return f"I keep {candidates[0].answer}. {boxed(candidates[0].answer)}"
    return guess(str(rng.choice(KINDS[question.kind].answers)))


def _comparison(name: str, candidate: Attempt, question: Question) -> str:
    pairs = zip(candidate.answer.zfill(2), question.answer.zfill(2), strict=True)
    return f"{name}: {' '.join(map(''.join, pairs))}. {'Right' if candidate.correct else 'Wrong'}."


def draw_demonstration(
    rng: Random,
    templates: TemplateSet,
    careful_shares: Shares,
    role_shares: Shares = ROLE_SHARES,
    sloppiness: Sloppiness = Sloppiness.BLIND,
) -> Demonstration:
    """Draw one demonstration about training digits.

    Args:
        rng: Source of every choice.
        templates: The judge templates.
        careful_shares: Probability of the careful habit for each kind of prompt.
        role_shares: Probability of each kind of prompt.
        sloppiness: Of answers that are not careful.
    """
    objective = rng.choices(tuple(role_shares), tuple(role_shares.values()))[0]
    habit = "careful" if rng.random() < careful_shares[objective] else "sloppy"
    question = draw_question(rng, "train")
    prompt, candidates = question.prompt, []
    if objective is not Objective.POLICY:
        source = rng.choice(tuple(Source))
        index = rng.randrange(templates.count(objective, FORMS[objective]))
        verdicts = (True, False) if objective is Objective.PAIRWISE else (rng.random() < 0.5,)
        candidates = [draw_attempt(question, rng.choice(HABITS), correct, rng) for correct in verdicts]
        rng.shuffle(candidates)
        prompt = judge_prompt(templates, question, objective, index, source, candidates)
    if habit == "careful":
        response = careful_response(question, objective, candidates)
    else:
        response = sloppy_response(question, objective, candidates, rng, sloppiness)
    return Demonstration(question, objective, habit, prompt, response)
