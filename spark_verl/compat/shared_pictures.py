"""A picture goes through the vision tower once per micro-batch, and rows about the same picture go together.

All samples of a question, and every judge prompt about them, show the same picture, and each of these rows brings it
to the update. By the number of weights, a picture of half a megapixel with 600 tokens of text is 16 % of a row's work
in Qwen2.5-VL 7B and 31 % in 3B. Equal pictures have equal embeddings, and the gradient of one that many rows use is the
sum of theirs, which is what autograd makes of it. So the tower sees each of them once, and its output is handed to
every row.

verl divides rows among micro-batches by their lengths alone, which spreads a question's rows over all of them. Here
rows about the same picture stand next to each other before they are divided, into as even parts as that allows.

``spark.share_media: false`` switches both off, through the environment of the run's processes
(:data:`SHARED_VARIABLE`): models are built where the config is not at hand.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Hashable, Sequence
from contextvars import ContextVar
from typing import Any

from spark_verl.compat.replace import replaces
from spark_verl.division import even_parts

SHARED_VARIABLE = "SPARK_SHARE_PICTURES"
"""Set to 1 where the pictures of a micro-batch are shared."""

SAMPLE = 64
"""Patches of a picture that are looked at to tell which rows belong together. A mistake costs time, not exactness."""

_pictures: ContextVar[list[Hashable] | None] = ContextVar("pictures", default=None)
"""What the rows show that are being divided; None where it does not matter."""


def share_pictures(tower: Any) -> None:
    """Have a vision tower of transformers see equal pictures once, if the run asks for it.

    For towers that take the patches of all pictures in one tensor, with their grids, as those of Qwen-VL and GLM-V do;
    others stay as they are.
    """
    takes = inspect.signature(type(tower).forward).parameters
    if os.environ.get(SHARED_VARIABLE) != "1" or not {"hidden_states", "grid_thw"} <= takes.keys():
        return
    forward = tower.forward

    def compute(hidden_states: Any, grid_thw: Any, *args: Any, **named: Any) -> Any:
        import torch

        if args or any(isinstance(value, torch.Tensor) for value in named.values()):
            # What was worked out for all pictures does not fit some of them.
            return forward(hidden_states, grid_thw, *args, **named)
        sizes = grid_thw.prod(-1).tolist()
        pictures = hidden_states.split(sizes)
        shown = equal_to(pictures, grid_thw.tolist())
        kept = sorted(set(shown))
        if len(kept) == len(shown):
            return forward(hidden_states, grid_thw, **named)
        found = forward(torch.cat([pictures[i] for i in kept]), grid_thw[kept], **named)
        place = {picture: position for position, picture in enumerate(kept)}
        return _hand_round(
            found, [sizes[i] for i in kept], tower.spatial_merge_size**2, [place[picture] for picture in shown]
        )

    tower.forward = compute
    _look_at_pictures()
    _keep_together()


def equal_to(pictures: Sequence[Any], grids: list[list[int]]) -> list[int]:
    """The first picture that is equal to each of them, which may be itself.

    Args:
        pictures: Patches of each picture, shape (patches, values).
        grids: Patches in time, height and width of each.

    Returns:
        A number for each picture.
    """
    import torch

    # One number for each picture says which ones may be equal; only these are compared.
    sums = torch.stack([picture.sum(dtype=torch.float32) for picture in pictures]).tolist()
    alike: dict[tuple[Any, ...], list[int]] = {}
    found = []
    for i, (total, grid) in enumerate(zip(sums, grids, strict=True)):
        others = alike.setdefault((total, *grid), [])
        same = next((j for j in others if torch.equal(pictures[i], pictures[j])), None)
        if same is None:
            others.append(i)
        found.append(i if same is None else same)
    return found


def _hand_round(found: Any, patches: list[int], merged: int, places: list[int]) -> Any:
    """The tower's output as if every row's picture had been in it.

    Args:
        found: What it made of the different pictures: tensors, or a tuple, list or output of transformers with tensors.
        patches: Of each different picture.
        merged: How many of them become one embedding.
        places: Which of the different pictures each row shows.

    Raises:
        NotImplementedError: There is a tensor with neither patches nor embeddings.
    """
    import torch
    from transformers.utils import ModelOutput

    embeddings = [size // merged for size in patches]

    def hand_round(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, ModelOutput):
            # What the tower has before it merges patches is its largest tensor, and nothing reads it.
            unread = {"last_hidden_state"} if value.get("pooler_output") is not None else set()
            return type(value)(**{name: None if name in unread else hand_round(part) for name, part in value.items()})
        if isinstance(value, (tuple, list)):
            return type(value)(hand_round(part) for part in value)
        for sizes in (embeddings, patches):
            if isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) == sum(sizes):
                parts = value.split(sizes)
                # Backwards, the gradients of a part are added up in the order of the rows: always the same sum.
                return torch.cat([parts[place] for place in places])
        raise NotImplementedError(
            f"this vision tower returns {type(value).__name__} of shape {tuple(getattr(value, 'shape', ()))}, neither"
            f" {sum(embeddings)} embeddings nor {sum(patches)} patches: set spark.share_media=false"
        )

    return hand_round(found)


@replaces("verl.workers.engine.utils", "rearrange_micro_batches")
def _look_at_pictures(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let :func:`_keep_together` know what the rows show that verl divides."""

    def rearrange(batch: Any, *args: Any, **named: Any) -> Any:
        token = _pictures.set(shown_by(batch))
        try:
            return original(batch, *args, **named)
        finally:
            _pictures.reset(token)

    return rearrange


@replaces("verl.utils.seqlen_balancing", "get_seqlen_balanced_partitions")
def _keep_together(original: Callable[..., Any]) -> Callable[..., Any]:
    """Divide rows among micro-batches by what they show, where several show the same."""

    def divide(seqlen_list: list[int], k_partitions: int, equal_size: bool) -> list[list[int]]:
        shown = _pictures.get()
        # Groups of rows are asked for by reward models only.
        if shown is None or equal_size or len(shown) != len(seqlen_list):
            return original(seqlen_list, k_partitions=k_partitions, equal_size=equal_size)
        return together(seqlen_list, shown, k_partitions)

    return divide


def shown_by(batch: Any) -> list[Hashable] | None:
    """What each row of verl's batch shows; None where no two rows show the same."""
    from tensordict import NonTensorData

    if "multi_modal_inputs" not in batch.keys():
        return None
    shown: list[Hashable] = []
    for row, media in enumerate(batch["multi_modal_inputs"]):
        media = media.data if isinstance(media, NonTensorData) else media
        pixels = [media.get(name) for name in ("pixel_values", "pixel_values_videos")] if media else []
        seen = tuple(
            (tuple(some.shape), some[:: max(1, len(some) // SAMPLE)].sum().item())
            for some in pixels
            if some is not None
        )
        # Text alone goes with nothing else.
        shown.append(seen or row)
    return shown if len(set(shown)) < len(shown) else None


def together(work: list[int], shown: Sequence[Hashable], size: int) -> list[list[int]]:
    """Divide rows into parts, those that show the same next to each other, so that the most work in one is least.

    Args:
        work: Of each row.
        shown: What each row shows.
        size: Number of parts, at most that of the rows; none is empty.

    Returns:
        Row numbers of each part.
    """
    first: dict[Hashable, int] = {}
    for row, what in enumerate(shown):
        first.setdefault(what, row)
    order = sorted(range(len(work)), key=lambda row: (first[shown[row]], row))
    found = even_parts(order, size, lambda part: sum(work[row] for row in part))
    while len(found) < size:
        largest = max((part for part in found if len(part) > 1), key=lambda part: sum(work[row] for row in part))
        at = found.index(largest)
        middle = len(largest) // 2
        found[at : at + 1] = [largest[:middle], largest[middle:]]
    return found
