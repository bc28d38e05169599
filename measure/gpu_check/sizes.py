"""How large everything is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SIDE = 28
"""Pixels along one image token."""


@dataclass(frozen=True)
class Size:
    """A model, its data and its batches.

    Attributes:
        vocabulary: Token ids.
        text: Fields of the language model's config that differ from the class's own.
        vision: The same of the vision tower's.
        widths: Least and greatest width of a picture in image tokens.
        heights: The same of its height.
        picture_tokens: Image tokens that the processor allows a picture; the engine makes room for one of these.
        questions: Policy prompts per step.
        samples: Responses per prompt.
        median: Median response in tokens; the longest has four times as many.
        timed: Whether it is large enough for its speed to mean anything.
        overrides: Hydra overrides that come with it.
    """

    vocabulary: int
    text: dict[str, Any]
    vision: dict[str, Any]
    widths: tuple[int, int]
    heights: tuple[int, int]
    picture_tokens: int
    questions: int
    samples: int
    median: int
    timed: bool
    overrides: tuple[str, ...]

    @property
    def longest(self) -> int:
        """Limit of a response in tokens."""
        return 4 * self.median


FULL = Size(
    vocabulary=151936,
    text={
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    vision={"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
    # Half a megapixel.
    widths=(20, 35),
    heights=(16, 29),
    picture_tokens=16384,
    questions=8,
    samples=8,
    median=128,
    timed=True,
    overrides=(
        "data.max_prompt_length=2560",
        "actor_rollout_ref.rollout.max_model_len=3072",
    ),
)
"""2.2 billion parameters; the vision tower is that of the published models."""

TINY = Size(
    vocabulary=2048,
    text={
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]},
    },
    vision={
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "fullatt_block_indexes": [1],
    },
    widths=(2, 5),
    heights=(2, 5),
    picture_tokens=64,
    questions=4,
    samples=4,
    median=8,
    timed=False,
    overrides=(
        "data.max_prompt_length=1504",
        "actor_rollout_ref.rollout.max_model_len=1536",
        "actor_rollout_ref.rollout.max_num_seqs=32",
        "actor_rollout_ref.rollout.max_num_batched_tokens=2048",
        "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=4096",
        "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu=4096",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096",
    ),
)
"""Seconds per step on a CPU: to see that everything fits together."""

SIZES = {"full": FULL, "tiny": TINY}
