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

from dataclasses import dataclass
from random import Random

from spark_verl.digits.attempts import (
    HABITS,
    Attempt,
    boxed,
    careful_text,
    guess,
    reading,
    right_attempt,
    sloppy_text,
    wrong_attempt,
)
from spark_verl.digits.questions import Question, draw_question, working
from spark_verl.judge.templates import JUDGE_SEPARATOR, TemplateSet

TEMPLATES = "pkg://spark_verl.digits/templates"
"""The digits model's judge templates, short enough for its size."""

ROLE_SHARES = {"policy": 0.4, "pointwise": 0.2, "pairwise": 0.2, "reflection": 0.2}
"""Share of each kind of prompt among the demonstrations."""

CAREFUL_SHARES = {"policy": 0.52, "pointwise": 0.18, "pairwise": 0.18, "reflection": 0.3}
"""Share of careful demonstrations for each kind of prompt: how often the warm-started model shows what it can do."""

SPARSE_CAREFUL_SHARES = CAREFUL_SHARES | {"policy": 0.0}
"""The same for the variant ``sparse``: asked a question, the model only guesses, so its own reward is at chance; asked
to judge an attempt or to reflect on it, it sometimes works the question out."""

SKILL_ROLE_SHARES = {"policy": 0.3, "pointwise": 0.25, "pairwise": 0.25, "reflection": 0.2}
"""The same while only the careful habit is learned; judging takes longer to learn than solving."""

LABEL_FORMS = {"pointwise": "yes_no", "pairwise": "a_b", "reflection": "free"}


@dataclass(frozen=True)
class Demonstration:
    """One prompt with the response it should get.

    Attributes:
        question: What is asked, with its digit images.
        role: "policy", "pointwise", "pairwise" or "reflection".
        habit: "careful" or "sloppy".
        prompt: The user turn, with ``<image>`` placeholders.
        response: The assistant turn.
    """

    question: Question
    role: str
    habit: str
    prompt: str
    response: str


def judge_prompt(templates: TemplateSet, question: Question, objective: str, index: int, **variables: str) -> str:
    """The question with a judge template appended, exactly as the training loop builds it."""
    return question.prompt + JUDGE_SEPARATOR + templates.render(objective, LABEL_FORMS[objective], index, **variables)


def policy_response(question: Question, habit: str, rng: Random) -> str:
    """Solve the question, or guess."""
    if habit == "careful":
        return careful_text(question.kind, question.digits, question.answer)
    return sloppy_text(guess(question.kind, rng))


def pointwise_response(question: Question, shown: Attempt, habit: str, rng: Random) -> str:
    """Solve the question and compare, or pass a verdict at sight."""
    if habit == "careful":
        return f"{_solution(question)} {_comparison('It', shown, question)} {boxed('Yes' if shown.correct else 'No')}"
    return rng.choice(("Looks fine. \\boxed{Yes}", "Looks wrong. \\boxed{No}"))


def pairwise_response(question: Question, first: Attempt, second: Attempt, habit: str, rng: Random) -> str:
    """Solve the question and compare both, or prefer one at sight. Exactly one of the two is right."""
    if habit == "careful":
        compared = f"{_comparison('A', first, question)} {_comparison('B', second, question)}"
        return f"{_solution(question)} {compared} {boxed('A' if first.correct else 'B')}"
    letter = rng.choice("AB")
    return f"I prefer {letter}. {boxed(letter)}"


def reflection_response(question: Question, shown: Attempt, habit: str, rng: Random) -> str:
    """Solve the question again, or repeat the attempt's answer (75 %) or guess (25 %)."""
    if habit == "careful":
        return careful_text(question.kind, question.digits, question.answer)
    if rng.random() < 0.75:
        return f"I keep {shown.answer}. {boxed(shown.answer)}"
    return sloppy_text(guess(question.kind, rng))


def _solution(question: Question) -> str:
    return f"{reading(question.digits)} {working(question.kind, *question.digits, question.answer)}."


def _comparison(name: str, shown: Attempt, question: Question) -> str:
    pairs = zip(shown.answer.zfill(2), question.answer.zfill(2), strict=True)
    return f"{name}: {' '.join(map(''.join, pairs))}. {'Right' if shown.correct else 'Wrong'}."


def draw_attempt(question: Question, correct: bool, rng: Random) -> Attempt:
    """An attempt of the given correctness, in either habit."""
    habit = rng.choice(HABITS)
    return right_attempt(question, habit) if correct else wrong_attempt(question, habit, rng)


def draw_demonstration(
    rng: Random,
    templates: TemplateSet,
    careful_shares: dict[str, float],
    role_shares: dict[str, float] | None = None,
) -> Demonstration:
    """Draw one demonstration about training digits.

    Args:
        rng: Source of every choice.
        templates: The judge templates.
        careful_shares: Probability of the careful habit for each role.
        role_shares: Probability of each role; :data:`ROLE_SHARES` when None.
    """
    role_shares = role_shares or ROLE_SHARES
    role = rng.choices(tuple(role_shares), tuple(role_shares.values()))[0]
    habit = "careful" if rng.random() < careful_shares[role] else "sloppy"
    question = draw_question(rng, "train")
    if role == "policy":
        return Demonstration(question, role, habit, question.prompt, policy_response(question, habit, rng))
    source = rng.choice(("answer", "cot"))
    index = rng.randrange(templates.count(role, LABEL_FORMS[role]))
    if role == "pairwise":
        pair = [draw_attempt(question, correct, rng) for correct in (True, False)]
        rng.shuffle(pair)
        variables = {"first": pair[0].shown(source), "second": pair[1].shown(source)}
        response = pairwise_response(question, pair[0], pair[1], habit, rng)
    else:
        shown = draw_attempt(question, rng.random() < 0.5, rng)
        variables = {"candidate": shown.shown(source)}
        respond = pointwise_response if role == "pointwise" else reflection_response
        response = respond(question, shown, habit, rng)
    prompt = judge_prompt(templates, question, role, index, source=source, **variables)
    return Demonstration(question, role, habit, prompt, response)
