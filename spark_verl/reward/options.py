"""Run-time options of the verifier. Light: imports nothing but the standard library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class RewardOptions:
    """The ``spark.reward`` block.

    Attributes:
        timeout_s: Seconds that one symbolic comparison may take before its process is killed and the row gets status
            ``timeout``. Waiting for a free process is not counted.
        num_workers: Processes for symbolic comparisons, per process that scores. They start with the first answer
            that needs one; numbers, letters and plain text never do.
        format_bonus: Added to the reward of a row whose final answer stands in a balanced ``\\boxed{}``. ``acc`` never
            contains it.
        memory_mb: Address space of one such process in MiB; a comparison that needs more gets status ``error``.
            0 means no limit.
    """

    timeout_s: float = 5.0
    num_workers: int = 2
    format_bonus: float = 0.0
    memory_mb: int = 4096

    def validate(self) -> RewardOptions:
        """Check every value; return self.

        Raises:
            ValueError: A value is out of range; the message names the field.
        """
        if not self.timeout_s > 0:
            raise ValueError(f"spark.reward.timeout_s must be positive, got {self.timeout_s}")
        if self.num_workers < 1:
            raise ValueError(f"spark.reward.num_workers must be at least 1, got {self.num_workers}")
        if self.memory_mb != 0 and self.memory_mb < 512:
            raise ValueError(
                f"spark.reward.memory_mb must be 0 (no limit) or at least 512 (sympy alone needs 150), "
                f"got {self.memory_mb}"
            )
        return self
