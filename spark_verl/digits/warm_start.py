"""Supervised warm start of the digits model, in three short stages.

1. *Perception.* The vision tower alone learns to read single digits: the scalar products of a tile's image tokens with
   the embeddings of the ten numerals, added up, are its logits. So image tokens speak the language of the text model.
2. *Skill.* The vision tower is frozen, every tile is encoded once, and the text model learns the careful habit.
3. *Habits.* Mostly sloppy demonstrations are mixed in, in the shares of :attr:`Schedule.careful_shares`.

Only training digits are used. Digits are shifted by up to 0.7 grey levels, which is what makes held-out ones readable.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from spark_verl.digits.architecture import TOKENS, encode_tiles, random_model, tile_values
from spark_verl.digits.batches import Batch, BatchBuilder, shares
from spark_verl.digits.demonstrations import ROLE_SHARES, SKILL_ROLE_SHARES, TEMPLATES, draw_demonstration
from spark_verl.digits.muon import Muon
from spark_verl.digits.questions import labels, levels, pool
from spark_verl.digits.schedule import PERCEPTION_COST, Schedule
from spark_verl.digits.team import Team
from spark_verl.digits.tokenizer import build_processor
from spark_verl.judge.templates import TemplateSet
from spark_verl.runs.progress import bar_options

VERDICT_WEIGHT = 4.0

BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left{postfix}"


def warm_start(team: Team, output_dir: Path, seed: int, schedule: Schedule, show_progress: bool) -> None:
    """Make the model and teach it; the first process of the team saves it.

    Args:
        team: Processes that do this together.
        output_dir: Folder for model, tokenizer, processor and chat template; created when missing.
        seed: Seed of the initial weights and of the demonstrations.
        schedule: Length of the stages.
        show_progress: Whether the first process draws a progress bar.
    """
    templates = TemplateSet.load(TEMPLATES)
    processor = build_processor(templates)
    model = random_model(processor, seed).train()
    first = team.rank == 0
    # By default it locks with a semaphore of the system's, which would be left behind when this process is ended.
    tqdm.set_lock(RLock())
    shown = bar_options() if show_progress and first else {"disable": True}
    with tqdm(total=schedule.work, desc="warm start", bar_format=BAR_FORMAT, **shown) as bar:
        teach_perception(team, model, processor, schedule, seed, bar)
        teach_habits(team, model, processor, templates, schedule, seed, bar)
    if first:
        model.eval().save_pretrained(output_dir)
        processor.save_pretrained(output_dir)


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
        team: Processes that take the same steps, each with a part of the loss.
        taught: What is trained.
        optimizers: With their highest learning rates.
        steps: Length of the cosine.
        warmup: Steps until the highest learning rate.
    """

    def __init__(
        self, team: Team, taught: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int, warmup: int
    ) -> None:
        def factor(step: int) -> float:
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / max(1, steps))
            return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * cosine)

        self.team, self.taught, self.optimizers = team, taught, optimizers
        parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        # All gradients are one vector, with the loss behind them, so that the team's are added up at once.
        self.sums = torch.zeros(sum(p.numel() for p in parameters) + 1)
        for p, piece in zip(parameters, self.sums[:-1].split([p.numel() for p in parameters]), strict=True):
            p.grad = piece.view_as(p)
        self.schedulers = [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]

    def step(self, loss: Tensor) -> float:
        """One step down the sum of the team's losses, which is returned."""
        self.sums.zero_()
        loss.backward()
        self.sums[-1] = loss.detach()
        self.team.add_up(self.sums)
        nn.utils.clip_grad_norm_(self.taught.parameters(), 1.0)
        for each in (*self.optimizers, *self.schedulers):
            each.step()
        return self.sums[-1].item()


def _adamw(groups: list[tuple[list[nn.Parameter], float]], weight_decay: float) -> torch.optim.Optimizer:
    options = [{"params": params, "lr": lr} for params, lr in groups]
    return torch.optim.AdamW(options, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)


def teach_perception(
    team: Team,
    model: Qwen2_5_VLForConditionalGeneration,
    processor: Qwen2_5_VLProcessor,
    schedule: Schedule,
    seed: int,
    bar: tqdm,
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
    optimizers = Optimizers(team, visual, [adamw], schedule.perception_steps, warmup=20)
    for _ in range(schedule.perception_steps):
        chosen = train[torch.randint(len(train), (schedule.perception_batch,), generator=generator)]
        moved = shift(grey[chosen], generator)[team.mine]
        logits = (encode_tiles(visual, tile_values(moved, processor)) @ table[numerals].T).sum(1)
        part = functional.cross_entropy(logits, truth[chosen[team.mine]], reduction="sum") / len(chosen)
        loss = optimizers.step(part)
        bar.update(PERCEPTION_COST)
        bar.set_postfix_str(f"perception loss {loss:.3f}", refresh=False)


@torch.no_grad()
def encode_views(
    team: Team, model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, views: int, seed: int
) -> Tensor:
    """Embeddings of the training digits, as they are and shifted: shape (views, 1797, 4, hidden).

    View 0 is not shifted. What belongs to held-out digits is zero.
    """
    generator = torch.Generator().manual_seed(seed)
    grey = torch.from_numpy(levels())
    moved = [grey.float(), *(shift(grey, generator) for _ in range(views - 1))]
    mine = torch.tensor(pool("train"))[team.mine]
    visual: Any = model.model.visual
    features = torch.zeros(views, len(grey), TOKENS, visual.config.out_hidden_size)
    for view, each in zip(features, moved, strict=True):
        # A few at a time stay in the processor's cache.
        for some in mine.split(64):
            view[some] = encode_tiles(visual, tile_values(each[some], processor))
    team.add_up(features)
    return features


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
    total: Tensor | None = None,
) -> Tensor:
    """Weighted mean cross-entropy of the response tokens.

    The same computation as ``model(...).loss``, but what comes after the last attention is worked out for response
    tokens only: nothing else looks at it.

    Args:
        model: The model; its text part is run.
        batch: The demonstrations.
        tiles: Embeddings for each row's placeholders, shape (batch, 8, hidden).
        image_id: Token id of a placeholder.
        weights: Weight of each token of the vocabulary; all equal when None.
        total: What the weighted sum is divided by where this is a part of a larger batch: its :func:`total_weight`.
    """
    text: Any = model.model.language_model
    embeds = text.embed_tokens(batch.ids)
    embeds = embeds.masked_scatter((batch.ids == image_id).unsqueeze(-1), tiles)
    taught = batch.targets != -100
    # Padding is on the right, so causal attention alone keeps it out of sight, and no mask means the fast kernel.
    rotary = text.rotary_emb(embeds, batch.positions)
    *layers, last = text.layers
    hidden = embeds
    for layer in layers:
        hidden = layer(hidden, position_embeddings=rotary)
    attended, _ = last.self_attn(last.input_layernorm(hidden), position_embeddings=rotary)
    hidden = hidden[taught] + attended[taught]
    hidden = text.norm(hidden + last.mlp(last.post_attention_layernorm(hidden)))
    targets = batch.targets[taught]
    loss = functional.cross_entropy(model.lm_head(hidden), targets, weight=weights, reduction="sum")
    return loss / (total_weight(batch, weights) if total is None else total)


def total_weight(batch: Batch, weights: Tensor | None) -> Tensor:
    """The weights of all response tokens of a batch, added up."""
    targets = batch.targets[batch.targets != -100]
    return torch.tensor(len(targets)) if weights is None else weights[targets].sum()


def teach_habits(
    team: Team,
    model: Qwen2_5_VLForConditionalGeneration,
    processor: Qwen2_5_VLProcessor,
    templates: TemplateSet,
    schedule: Schedule,
    seed: int,
    bar: tqdm,
) -> None:
    """Stages 2 and 3: the text model learns to be careful, then when not to be."""
    builder = BatchBuilder(processor, model)
    features = encode_views(team, model, processor, schedule.views, seed)
    weights = verdict_weights(processor)
    generator = torch.Generator().manual_seed(seed)
    rng = Random(seed)
    text = model.model.language_model
    matrices = [p for name, p in text.named_parameters() if p.ndim == 2 and "embed_tokens" not in name]
    others = [p for name, p in text.named_parameters() if p.ndim != 2 or "embed_tokens" in name]
    # Muon learns the same in about half of AdamW's steps here; it is meant for matrices only.
    optimizers = Optimizers(
        team,
        text,
        [Muon(matrices, schedule.matrix_lr, team), _adamw([(others, schedule.lr)], 0.01)],
        schedule.skill_steps + schedule.habit_steps,
        warmup=30,
    )
    careful = dict.fromkeys(schedule.careful_shares, 1.0)
    stages = (
        ("skill", schedule.skill_steps, careful, SKILL_ROLE_SHARES),
        ("habits", schedule.habit_steps, schedule.careful_shares, ROLE_SHARES),
    )
    for name, steps, careful_shares, role_shares in stages:
        draw = partial(draw_demonstration, rng, templates, careful_shares, role_shares, schedule.sloppiness)
        # The shares of the habits come out as stated only if every batch has every kind of prompt in it.
        batches = builder.stream(draw, schedule.batch, rng, by_length=name == "skill")
        for batch in islice(batches, steps):
            view = torch.randint(schedule.views, batch.tiles.shape[:2], generator=generator)
            tiles = features[view, batch.tiles[..., 0], batch.tiles[..., 1]]
            part = torch.zeros((), requires_grad=True)
            if rows := shares(batch.lengths, team.size)[team.rank]:
                total = total_weight(batch, weights)
                part = demonstration_loss(model, batch.rows(rows), tiles[rows], builder.image_id, weights, total)
            loss = optimizers.step(part)
            bar.update()
            bar.set_postfix_str(f"{name} loss {loss:.3f}", refresh=False)
