"""How long each stage of the digits model's warm start is, and what each variant of it shows.

Imports no torch: what only asks for a variant, or takes a model from the cache, does not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spark_verl.digits.demonstrations import (
    BIASED_CAREFUL_SHARES,
    CAREFUL_SHARES,
    SPARSE_CAREFUL_SHARES,
    Shares,
    Sloppiness,
)

PERCEPTION_COST = 0.5
"""What a step of stage 1 takes, in steps of the others, so that the remaining time is right from the start."""


@dataclass(frozen=True)
class Schedule:
    """Length and step size of each stage, and what the last one shows.

    Attributes:
        perception_steps, perception_batch, perception_lr: Stage 1, in digits.
        skill_steps: Stage 2, in batches of ``batch`` demonstrations.
        habit_steps: Stage 3, likewise.
        lr, matrix_lr: Highest learning rates of stages 2 and 3, for AdamW (embeddings, norms, biases) and for Muon
            (weight matrices); both stages together are one warm-up and cosine.
        views: Shifted copies of every training digit that stages 2 and 3 choose from.
        careful_shares: Share of careful demonstrations in stage 3 for each kind of prompt.
        sloppiness: Of the others among its answers.
    """

    perception_steps: int = 250
    perception_batch: int = 64
    perception_lr: float = 4e-3
    skill_steps: int = 1400
    habit_steps: int = 300
    batch: int = 24
    lr: float = 3e-3
    matrix_lr: float = 5e-3
    views: int = 4
    careful_shares: Shares = field(default_factory=CAREFUL_SHARES.copy)
    sloppiness: Sloppiness = Sloppiness.BLIND

    @property
    def work(self) -> float:
        """All stages together, in steps of stages 2 and 3: what the progress bar counts."""
        return PERCEPTION_COST * self.perception_steps + self.skill_steps + self.habit_steps


VARIANTS: dict[str, Schedule] = {
    "mixed": Schedule(),
    "sparse": Schedule(skill_steps=1000, careful_shares=SPARSE_CAREFUL_SHARES),
    "biased": Schedule(careful_shares=BIASED_CAREFUL_SHARES, sloppiness=Sloppiness.FIRST_DIGIT),
    "misled": Schedule(habit_steps=500, careful_shares=BIASED_CAREFUL_SHARES, sloppiness=Sloppiness.BELIEF),
    "confused": Schedule(habit_steps=500, careful_shares=BIASED_CAREFUL_SHARES, sloppiness=Sloppiness.CONFUSION),
}
"""``mixed``: half of its answers are right, all tasks start with a reward (the quickstart). ``sparse``: a less skilled
model whose answers are guesses, so that reinforcement learning on questions alone has next to nothing to learn from.
``biased``: one whose answers mostly make the same mistake, so that the majority is wrong, though its judgement is often
careful. ``misled``: one that believes wrong results, different ones for every kind of question and first digit, so that
what a label says about one of them says little about the others. ``confused``: one that carries out another operation
for four in five kinds of question and first digits, so that most of its majorities are wrong."""
