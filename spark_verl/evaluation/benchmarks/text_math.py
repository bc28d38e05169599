"""Text-only benchmarks: mathematics, and MMLU's science and engineering subjects.

All report accuracy (mean over questions). Their own scripts compare normalised strings or use sympy; here the boxed
answer is read and compared by :func:`spark_verl.reward.averify`, which also accepts equal values written differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark_verl.evaluation.benchmarks.columns import Columns, TableBenchmark
from spark_verl.evaluation.benchmarks.source import Source
from spark_verl.options import brief


class GSM8K(TableBenchmark):
    """Grade-school word problems, 1,319 test questions.

    Schema (openai/gsm8k, config ``main``): ``question``, ``answer``, a solution that ends in ``#### 18``. Rule: the
    number behind the marks, equal after thousands separators are removed.
    """

    name = "gsm8k"
    source = Source("openai/gsm8k", config="main")
    columns = Columns()


class Math500(TableBenchmark):
    """The 500 test problems of MATH that "Let's Verify Step by Step" evaluates on.

    Schema (HuggingFaceH4/MATH-500): ``problem``, ``solution``, ``answer`` (LaTeX), ``subject``, ``level``,
    ``unique_id``. Rule: mathematically equal answers.
    """

    name = "math500"
    source = Source("HuggingFaceH4/MATH-500")
    columns = Columns(question="problem", id="unique_id", meta=("subject", "level"))
    breakdown = ("subject", "level")


class Aime24(TableBenchmark):
    """AIME 2024 I and II, 30 problems; answers are integers from 0 to 999.

    Schema (HuggingFaceH4/aime_2024, split ``train``): ``id``, ``problem``, ``solution``, ``answer``, ``url``, ``year``.
    The copy Maxwell-Jia/AIME_2024 writes ``Problem`` and ``Answer``; both are read.
    """

    name = "aime24"
    source = Source("HuggingFaceH4/aime_2024", splits=("train",))
    columns = Columns(question=("problem", "Problem", "question"), answer=("answer", "Answer"))


class Aime25(Aime24):
    """AIME 2025 I and II, 30 problems, as :class:`Aime24`.

    Schema (math-ai/aime25, split ``test``): ``problem``, ``answer``, ``id``.
    """

    name = "aime25"
    source = Source("math-ai/aime25")


class Amc23(TableBenchmark):
    """AMC 12 2023, the 40 problems with an integer answer, asked without their options.

    Schema (math-ai/amc23): ``id``, ``question``, ``answer``, ``url``.
    """

    name = "amc23"
    source = Source("math-ai/amc23")
    columns = Columns(question=("question", "problem"))


STEM_SUBJECTS = tuple(
    "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science college_mathematics "
    "college_physics computer_security conceptual_physics electrical_engineering elementary_mathematics "
    "high_school_biology high_school_chemistry high_school_computer_science high_school_mathematics "
    "high_school_physics high_school_statistics machine_learning".split()
)
"""The 19 subjects of the STEM category in lm-evaluation-harness and lmms-eval (mmlu/_generate_configs.py)."""


class MmluStem(TableBenchmark):
    """MMLU's STEM subjects, four options each.

    Schema (cais/mmlu, config ``all``, split ``test``): ``question``, ``subject``, ``choices`` (four texts), ``answer``
    (0 to 3). Rule: the right option; accuracy over all questions, and by subject. The harnesses compare the likelihoods
    of the letters after five examples; here the question is asked without examples and the boxed letter is read.
    """

    name = "mmlu_stem"
    source = Source("cais/mmlu", config="all")
    columns = Columns(options="choices", more=("subject",), meta=("subject",))
    where = ("subject", STEM_SUBJECTS)
    breakdown = ("subject",)

    def letter(self, row: Mapping[str, Any], choices: Mapping[str, str] | None) -> str | None:
        """The letter of the option that ``answer`` counts to."""
        answer = self.value(row, "answer")
        if not isinstance(answer, int) or not choices or not 0 <= answer < len(choices):
            raise ValueError(f"answer must count an option from 0, got {brief(answer)}")
        return list(choices)[answer]
