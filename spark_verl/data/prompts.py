r"""One form for every question: placeholders first checked, foreign answer instructions out, ours once at the end.

The instructions that are recognized are those the data sets and their training code use: SPARK (README and
``ppo_utils/new_data_gen.py``, with the full stop inside or outside the box), VL-Rethinker (README), SimpleRL-Zoo (where
the box is doubled, ``\boxed{{}}``) and verl's ``examples/data_preprocess`` (geo3k, gsm8k, math_dataset). The patterns
match them loosely: upper or lower case, any white space, quotation marks around the box.
"""

from __future__ import annotations

import re

from spark_verl.data.errors import RowError
from spark_verl.reward.choices import LETTERS

IMAGE = "<image>"
"""verl's placeholder; :class:`verl.utils.dataset.rl_dataset.RLHFDataset` splits prompts on exactly this string."""

INSTRUCTION = r"Reason step by step, then give the final answer in \boxed{}."

_OTHER_MEDIA = re.compile("<video>|<audio>")
SPECIAL_TOKEN = re.compile(r"<\|\w{1,40}\|>")

_BOX = r"""['"`$]{0,2}\\{1,2}boxed\s?\{\s?(?:\{\s?\})?[.\s]?\}['"`$]{0,2}"""
_INTO_BOX = rf"(?:in|within|inside|into|using)\s+(?:an?\s+)?{_BOX}"
_FINAL = r"(?:your|the)\s+final\s+answer"
_VERB = r"(?:put|place|write|give|output|provide|present|repeat)"
_STEPS = r"(?:let'?s\s+|let\s+us\s+)?(?:think|reason)\s+step[\s-]by[\s-]step"
_KNOWN = [
    re.compile(rf"(?:please\s+)?{pattern}\s?[.!]?", re.IGNORECASE)
    for pattern in (
        r"first\s+conduct\s+reasoning,?\s+and\s+then\s+answer\s+the\s+question",
        rf"{_STEPS},?\s+(?:and\s+then|and|then)\s+{_VERB}\s+{_FINAL}\s+{_INTO_BOX}",
        rf"{_STEPS},?\s+(?:and\s+then|and|then)\s+{_VERB}\s+{_FINAL}\s+after\s+[\"'“]?####[\"'”]?",
        rf"{_VERB}\s+{_FINAL}\s+{_INTO_BOX}",
        rf"{_FINAL}\s+must\s+be\s+(?:put|enclosed|given)\s+{_INTO_BOX}",
        r"you\s+first\s+think\s+about\s+the\s+reasoning\s+process\s+as\s+an\s+internal\s+monologue\s+and\s+then\s+"
        r"provide\s+the\s+final\s+answer",
        r"the\s+reasoning\s+process\s+must\s+be\s+enclosed\s+within\s+<think>\s?</think>\s+tags",
    )
]
_SPACE_AROUND = re.compile(r"\s*\0\s*")
_OPTION = re.compile(r"(?<![A-Za-z0-9])(?:\(([A-J])\)\s*[.:：、]?|([A-J])\s*[.:：、．)])\s*")


def remove_instructions(text: str) -> str:
    """Remove every known answer instruction, wherever it stands, and the white space that it leaves behind.

    >>> remove_instructions("Find x. Please reason step by step, and put your final answer within \\\\boxed{}.")
    'Find x.'
    """
    text = text.replace("\r\n", "\n").replace("\0", "\ufffd").strip()
    while True:
        before = text
        for pattern in _KNOWN:
            text = pattern.sub("\0", text)
        text = _SPACE_AROUND.sub(lambda match: "\n" if "\n" in match[0] else " ", text).strip()
        # Removing one may join the halves of another, hence the loop; it ends because the text gets shorter.
        if text == before:
            return text


def build_prompt(question: str, images: int, free: bool = False) -> str:
    """The user's turn: placeholders, question, our instruction.

    Args:
        question: As the data set has it, with or without placeholders and instructions.
        images: Number of images. Placeholders that are missing are put in front.
        free: Leave instructions as they are, and add none.

    Returns:
        A text with ``images`` placeholders that ends with :data:`INSTRUCTION`, which stands in it once.

    Raises:
        RowError: There are more placeholders than images, nothing but placeholders, or something in the question that
            verl or the tokenizer would take for more than text.
    """
    question = question.strip() if free else remove_instructions(question)
    if not question.replace(IMAGE, "").strip():
        raise RowError("empty_question")
    if found := _OTHER_MEDIA.search(question):
        raise RowError("other_media", f"{found[0]} in the question")
    if found := SPECIAL_TOKEN.search(question):
        raise RowError("special_token", f"{found[0]} in the question")
    missing = images - question.count(IMAGE)
    if missing < 0:
        raise RowError("placeholder_mismatch", f"{question.count(IMAGE)} placeholders for {images} images")
    if missing:
        question = f"{IMAGE * missing}\n{question}"
    return question if free else f"{question}\n{INSTRUCTION}"


def written_options(text: str) -> dict[str, str] | None:
    """Options that stand in a question, by letter: ``A. 3; B. 5``, lines ``A:40°``, or ``(A) yes (B) no``.

    The last run A, B, C, .. counts, at the beginnings of lines where there is one, and its last option ends with its
    line. None when there are not at least two options, or when letters stand alone because the options are drawn in the
    image.

    >>> written_options("Is it even? Choices: (A) yes (B) no")
    {'A': 'yes', 'B': 'no'}
    """
    marks = list(_OPTION.finditer(text))
    at_start = [mark for mark in marks if not text[text.rfind("\n", 0, mark.start()) + 1 : mark.start()].strip()]
    run = _last_run(at_start) or _last_run(marks)
    if not run:
        return None
    line = text.find("\n", run[-1].end())
    ends = [mark.start() for mark in run[1:]] + [line if line >= 0 else len(text)]
    texts = [text[mark.end() : end].strip().rstrip(";").strip() for mark, end in zip(run, ends, strict=True)]
    return dict(zip(LETTERS, texts, strict=False)) if all(texts) else None


def _last_run(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last marks that follow one another as A, B, .. do; none where there are not at least two."""
    found: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for mark in marks:
        letter = mark[1] or mark[2]
        if letter == "A":
            run = [mark]
        elif run and LETTERS.startswith(letter, len(run)):
            run.append(mark)
        if len(run) > 1:
            found = run
    return found
