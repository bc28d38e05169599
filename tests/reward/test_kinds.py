"""Every kind of answer; the table is that of ``measure/verifier_kinds.py``."""

from __future__ import annotations

import pytest
from verifier_kinds import kinds

from spark_verl.reward import verify_answer

CASES = [pytest.param(*case, id=f"{kind}: {case[0]} for {case[1]}") for kind, *case in kinds()]


@pytest.mark.parametrize(("answer", "truth", "right"), CASES)
def test_kinds(answer: str, truth: str, right: bool) -> None:
    assert verify_answer(answer, [truth]).correct is right
