r"""Attempts at a question: what a rollout may look like, right or plausibly wrong.

There are two habits. A *careful* attempt reads the digits, writes the working and boxes the result; a *sloppy* one
boxes a guess at once::

    The digits are 3 and 4. 3+4=7. \boxed{7}
    My guess is 12. \boxed{12}

A careful attempt can go wrong in three ways: one digit is misread, another operation is carried out, or the result is
off by one. Judges see all of these, so that a wrong answer is never wrong at sight.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from spark_verl.digits.questions import KINDS, Question
from spark_verl.vocabulary import Source

HABITS = ("careful", "sloppy")

SLIPS = ("misread", "operation", "off_by_one")
"""The ways in which a careful attempt goes wrong."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a question.

    Attributes:
        text: The whole response.
        answer: What is in its box.
        correct: Whether that is the right answer.
        habit: One of :data:`HABITS`.
    """

    text: str
    answer: str
    correct: bool
    habit: str

    def shown(self, source: Source) -> str:
        """What a judge is shown of the attempt."""
        return self.answer if source == Source.ANSWER else self.text


def boxed(answer: str) -> str:
    r"""The answer in the form that is verified: ``\boxed{answer}``."""
    return f"\\boxed{{{answer}}}"


def solution(kind: str, digits: tuple[int, int], answer: str) -> str:
    """What stands before the box of a careful attempt that reads these digits and comes to this answer."""
    a, b = digits
    return f"The digits are {a} and {b}. {KINDS[kind].working.format(a=a, b=b, c=answer)}."


def guess(answer: str) -> str:
    """A response that boxes an answer at once."""
    return f"My guess is {answer}. {boxed(answer)}"


def draw_attempt(question: Question, habit: str, correct: bool, rng: Random) -> Attempt:
    """An attempt in the given habit (a sloppy guess can be lucky).

    A wrong answer always lies in the range of the kind of question. A sloppy attempt boxes either one of the kind's
    answers or what a careless reader would have come to.
    """
    if correct:
        digits, answer = question.digits, question.answer
    elif habit == "sloppy" and rng.random() < 0.5:
        digits = question.digits
        answer = rng.choice([a for a in map(str, KINDS[question.kind].answers) if a != question.answer])
    else:
        digits, answer = _slip(question, rng)
    careful = f"{solution(question.kind, digits, answer)} {boxed(answer)}"
    return Attempt(careful if habit == "careful" else guess(answer), answer, correct, habit)


def _slip(question: Question, rng: Random) -> tuple[tuple[int, int], str]:
    """Digits read and wrong answer of one slip; the slips are tried in random order until one changes the answer."""
    kind = KINDS[question.kind]
    for slip in rng.sample(SLIPS, len(SLIPS)):
        digits = question.digits
        if slip == "misread":
            place = rng.randrange(2)
            other = rng.choice([d for d in range(10) if d != digits[place]])
            digits = (other, digits[1]) if place == 0 else (digits[0], other)
            answer = kind.compute(*digits)
        elif slip == "operation":
            answer = kind.confused(*digits)
        else:
            answer = int(question.answer) + rng.choice((-1, 1))
        if str(answer) != question.answer and kind.answers[0] <= answer <= kind.answers[-1]:
            return digits, str(answer)
    # All three slips left the answer as it was (such as 0*0 with a misread zero): try again.
    return _slip(question, rng)
