"""Supervised warm start of the digits model, in three short stages.

1. *Perception.* The vision tower alone learns to read single digits: the scalar products of a tile's image tokens with
   the embeddings of the ten numerals, added up, are its logits. So image tokens speak the language of the text model.
2. *Skill.* The vision tower is frozen, every tile is encoded once, and the text model learns the careful habit.
3. *Habits.* Mostly sloppy demonstrations are mixed in, in the shares of :attr:`Schedule.careful_shares`.

Only training digits are used. Digits are shifted by up to 0.7 grey levels, which is what makes held-out ones readable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from spark_verl.digits.architecture import encode_tiles, tile_values
from spark_verl.digits.batches import Batch, BatchBuilder
from spark_verl.digits.demonstrations import (
    BIASED_CAREFUL_SHARES,
    CAREFUL_SHARES,
    ROLE_SHARES,
    SKILL_ROLE_SHARES,
    SPARSE_CAREFUL_SHARES,
    Shares,
    Sloppiness,
    draw_demonstration,
)
from spark_verl.digits.muon import Muon
from spark_verl.digits.questions import labels, levels, pool
from spark_verl.judge.templates import TemplateSet

VERDICT_WEIGHT = 4.0

PERCEPTION_COST, HABIT_COST = 0.6, 1.3
"""What a step of stages 1 and 3 takes, in steps of stage 2, so that the remaining time is right from the start. Batches
of stage 3 are not sorted by length, hence longer."""


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
        """All stages together, in steps of stage 2: what the progress bar counts."""
        return PERCEPTION_COST * self.perception_steps + self.skill_steps + HABIT_COST * self.habit_steps


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


def shift(grey: Tensor, generator: torch.Generator, reach: float = 0.7) -> Tensor:
    """Move each digit by up to ``reach`` grey levels in each direction (bilinear, paper flows in).

    Args:
        grey: Grey levels of shape (n, 8, 8).
        generator: Source of the moves.
        reach: Largest move.

    Returns:
        Float grey levels of the same shape.
    """
    n, side = grey.shape[0], grey.shape[-1]
    transform = torch.eye(2, 3).repeat(n, 1, 1)
    transform[:, :, 2] = (torch.rand(n, 2, generator=generator) * 2 - 1) * reach * 2 / side
    grid = functional.affine_grid(transform, [n, 1, side, side], align_corners=False)
    return functional.grid_sample(grey.float().unsqueeze(1), grid, align_corners=False)[:, 0]


class Optimizers:
    """Optimizers that go on together: gradients clipped to norm 1, a linear warm-up, and a cosine down to 2 %.

    Args:
        taught: What is trained.
        optimizers: With their highest learning rates.
        steps: Length of the cosine.
        warmup: Steps until the highest learning rate.
    """

    def __init__(self, taught: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int, warmup: int) -> None:
        def factor(step: int) -> float:
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / max(1, steps))
            return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * cosine)

        self.taught, self.optimizers = taught, optimizers
        self.schedulers = [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]

    def step(self, loss: Tensor) -> None:
        """One step down this loss."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.taught.parameters(), 1.0)
        for each in (*self.optimizers, *self.schedulers):
            each.step()


def _adamw(groups: list[tuple[list[nn.Parameter], float]], weight_decay: float) -> torch.optim.Optimizer:
    options = [{"params": params, "lr": lr} for params, lr in groups]
    return torch.optim.AdamW(options, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)


def teach_perception(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, schedule: Schedule, seed: int, bar: tqdm
) -> None:
    """Stage 1: the vision tower and the embeddings of the ten numerals learn to read digits."""
    generator = torch.Generator().manual_seed(seed)
    visual: Any = model.model.visual
    table: Any = model.get_input_embeddings().weight
    numerals = torch.tensor(processor.tokenizer.convert_tokens_to_ids(list("0123456789")))
    grey, truth, train = torch.from_numpy(levels()), torch.from_numpy(labels()), torch.tensor(pool("train"))
    patch = visual.patch_embed.proj.weight
    rest = [p for p in visual.parameters() if p is not patch]
    # A block of equal grey moves 294 patch weights together, so one step on them goes far: a tenth of the rate.
    adamw = _adamw([([*rest, table], schedule.perception_lr), ([patch], schedule.perception_lr / 10)], 0.05)
    optimizers = Optimizers(visual, [adamw], schedule.perception_steps, warmup=20)
    for _ in range(schedule.perception_steps):
        chosen = train[torch.randint(len(train), (schedule.perception_batch,), generator=generator)]
        tokens = encode_tiles(visual, tile_values(shift(grey[chosen], generator), processor))
        loss = functional.cross_entropy((tokens @ table[numerals].T).sum(1), truth[chosen])
        optimizers.step(loss)
        bar.update(PERCEPTION_COST)
        bar.set_postfix_str(f"perception loss {loss.item():.3f}", refresh=False)


@torch.no_grad()
def encode_views(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, views: int, seed: int
) -> Tensor:
    """Embeddings of every digit, as it is and shifted: shape (views, 1797, 4, hidden); view 0 is not shifted."""
    generator = torch.Generator().manual_seed(seed)
    grey = torch.from_numpy(levels())
    moved = [grey.float(), *(shift(grey, generator) for _ in range(views - 1))]
    return torch.stack([encode_tiles(model.model.visual, tile_values(each, processor)) for each in moved])


def verdict_weights(processor: Qwen2_5_VLProcessor) -> Tensor:
    """Weight of each token in the loss, shape (vocabulary,): more for the two words that end a comparison.

    They are one or two tokens in thirty, and whether two numbers are equal gives no partial credit: at equal weight
    they would be the last thing learned.
    """
    weights = torch.ones(len(processor.tokenizer))
    for word in (" Right", " Wrong"):
        (token,) = processor.tokenizer(word)["input_ids"]
        weights[token] = VERDICT_WEIGHT
    return weights


def demonstration_loss(
    model: Qwen2_5_VLForConditionalGeneration,
    batch: Batch,
    tiles: Tensor,
    image_id: int,
    weights: Tensor | None = None,
) -> Tensor:
    """Weighted mean cross-entropy of the response tokens.

    Args:
        model: The model; its text part is run.
        batch: The demonstrations.
        tiles: Embeddings for each row's placeholders, shape (batch, 8, hidden).
        image_id: Token id of a placeholder.
        weights: Weight of each token of the vocabulary; all equal when None.
    """
    text = model.model.language_model
    embeds = text.embed_tokens(batch.ids)
    embeds = embeds.masked_scatter((batch.ids == image_id).unsqueeze(-1), tiles)
    # Padding is on the right, so causal attention alone keeps it out of sight, and no mask means the fast kernel.
    hidden = text(
        inputs_embeds=embeds,
        position_ids=batch.positions,
        attention_mask={"full_attention": None},
        use_cache=False,
    ).last_hidden_state
    taught = batch.targets != -100
    return functional.cross_entropy(model.lm_head(hidden[taught]), batch.targets[taught], weight=weights)


def teach_habits(
    model: Qwen2_5_VLForConditionalGeneration,
    processor: Qwen2_5_VLProcessor,
    templates: TemplateSet,
    schedule: Schedule,
    seed: int,
    bar: tqdm,
) -> None:
    """Stages 2 and 3: the text model learns to be careful, then when not to be."""
    builder = BatchBuilder(processor, model)
    features = encode_views(model, processor, schedule.views, seed)
    weights = verdict_weights(processor)
    generator = torch.Generator().manual_seed(seed)
    rng = Random(seed)
    text = model.model.language_model
    matrices = [p for name, p in text.named_parameters() if p.ndim == 2 and "embed_tokens" not in name]
    others = [p for name, p in text.named_parameters() if p.ndim != 2 or "embed_tokens" in name]
    # Muon learns the same in about half of AdamW's steps here; it is meant for matrices only.
    optimizers = Optimizers(
        text,
        [Muon(matrices, schedule.matrix_lr), _adamw([(others, schedule.lr)], 0.01)],
        schedule.skill_steps + schedule.habit_steps,
        warmup=30,
    )
    careful = dict.fromkeys(schedule.careful_shares, 1.0)
    stages = (
        ("skill", schedule.skill_steps, 1.0, careful, SKILL_ROLE_SHARES),
        ("habits", schedule.habit_steps, HABIT_COST, schedule.careful_shares, ROLE_SHARES),
    )
    for name, steps, cost, careful_shares, role_shares in stages:
        draw = partial(draw_demonstration, rng, templates, careful_shares, role_shares, schedule.sloppiness)
        # The shares of the habits come out as stated only if every batch has every kind of prompt in it.
        batches = builder.stream(draw, schedule.batch, rng, by_length=name == "skill")
        for batch in islice(batches, steps):
            view = torch.randint(schedule.views, batch.tiles.shape[:2], generator=generator)
            tiles = features[view, batch.tiles[..., 0], batch.tiles[..., 1]]
            loss = demonstration_loss(model, batch, tiles, builder.image_id, weights)
            optimizers.step(loss)
            bar.update(cost)
            bar.set_postfix_str(f"{name} loss {loss.item():.3f}", refresh=False)
