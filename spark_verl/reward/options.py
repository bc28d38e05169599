"""Run-time options of the verifier. Light: imports no verl, no sympy."""

from __future__ import annotations

from dataclasses import dataclass

from spark_verl.options import NOT_NEGATIVE, POSITIVE, Allowed, at_least, check, option, some_of
from spark_verl.reward.extract import FALLBACKS

_MEMORY = Allowed("be 0 (no limit) or at least 512 (sympy alone needs 150)", lambda value: value == 0 or value >= 512)


@dataclass(kw_only=True)
class RewardOptions:
    """The verifier and the spark reward manager.

    ``acc`` never contains ``format_bonus`` or ``overlong_penalty``. A comparison that takes longer than ``timeout_s``
    has its process killed, and the row gets status ``timeout``; waiting for a free process is not counted. One that
    needs more than ``memory_mb`` gets ``error``. Processes start with the first answer that needs one, or with the run
    (``warm_up``); numbers, letters and plain text never need one.
    """

    timeout_s: float = option(5.0, POSITIVE)
    """Seconds that one symbolic comparison may take; then the row teaches nothing."""
    num_workers: int = option(2, at_least(1))
    """Processes for symbolic comparisons, per process that scores."""
    warm_up: bool = True
    """Start them with the run; false for data whose answers are never algebra."""
    fallbacks: list[str] = option(list, some_of(FALLBACKS))
    """Where to look when there is no box, in order."""
    format_bonus: float = 0.0
    """Added to the reward of a row whose final answer stands in a balanced box."""
    overlong_buffer: int = option(0, NOT_NEGATIVE)
    """Last tokens before the response limit in which overlong_penalty grows (DAPO's soft punishment); 0 for none."""
    overlong_penalty: float = option(1.0, NOT_NEGATIVE)
    """Taken from the reward of a response as long as the limit."""
    memory_mb: int = option(4096, _MEMORY)
    """Address space of such a process in MiB"""

    def validate(self) -> RewardOptions:
        """Check every value; return self.

        Raises:
            ValueError: A value is out of range; the message names the field.
        """
        return check(self, "spark.reward")
