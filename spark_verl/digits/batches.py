"""Turns demonstrations into padded tensors without running the processor for each of them.

A chat prompt is fixed text around the user turn, an image is a fixed number of placeholder tokens, and a position id
depends only on how many images a prompt has. So each is worked out once, with the processor and Hugging Face's own
``get_rope_index``, and only the words in between are tokenised per demonstration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from spark_verl.digits.demonstrations import Demonstration
from spark_verl.digits.model import TOKENS
from spark_verl.digits.questions import KINDS

MAX_TOKENS = 256
"""Longest demonstration, prompt and response together; anything longer is a mistake in a template."""

_MARK = "user turn"

# Where the eight embeddings of two tiles (upper left, upper right, lower left, lower right of the first, then of the
# second) go in the order of placeholders: row by row across one wide image, or one image after the other.
_ORDER = {1: (0, 1, 4, 5, 2, 3, 6, 7), 2: tuple(range(8))}


@dataclass(frozen=True)
class Batch:
    """Demonstrations padded on the right to a common length.

    Attributes:
        ids: Token ids, shape (batch, length).
        positions: Multimodal position ids, shape (3, batch, length).
        targets: Next token where it belongs to the response or ends it, -100 elsewhere; shape (batch, length).
        tiles: Index of the digit tile and of its embedding for each placeholder; shape (batch, 8, 2).
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    tiles: Tensor


class BatchBuilder:
    """Builds batches for one processor and model."""

    def __init__(self, processor: Qwen2_5_VLProcessor, model: Qwen2_5_VLForConditionalGeneration) -> None:
        self.tokenizer = processor.tokenizer
        text = processor.apply_chat_template(
            [{"role": "user", "content": _MARK}], add_generation_prompt=True, tokenize=False
        )
        self.head, self.tail = text.split(_MARK)
        self.image_id = model.config.image_token_id
        self.end_id = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.pad_id = self.tokenizer.convert_tokens_to_ids("<|endoftext|>")
        self.positions = {images: self._positions(model, images) for images in (1, 2)}

    def prompt_text(self, prompt: str, images: int) -> str:
        """The whole prompt as the processor expands it: chat markup, image placeholders and text."""
        pads = "<|image_pad|>" * (2 * TOKENS // images)
        return self.head + prompt.replace("<image>", f"<|vision_start|>{pads}<|vision_end|>") + self.tail

    def _positions(self, model: Qwen2_5_VLForConditionalGeneration, images: int) -> Tensor:
        """Position ids of shape (3, MAX_TOKENS) for any prompt that begins with this number of images."""
        ids = self.tokenizer(self.prompt_text("<image>" * images, images), return_tensors="pt")["input_ids"]
        fill = torch.full((1, MAX_TOKENS - ids.shape[1]), self.pad_id)
        ids = torch.cat((ids, fill), dim=1)
        grid = torch.tensor([[1, 4, 8]] if images == 1 else [[1, 4, 4]] * 2)
        kinds = (ids == self.image_id).int()
        return model.model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grid)[0][:, 0]

    def build(self, demonstrations: Sequence[Demonstration], encoded: Sequence[tuple[list[int], int]]) -> Batch:
        """Pad demonstrations that :meth:`encode` has tokenised."""
        length = max(len(ids) for ids, _ in encoded)
        ids = np.full((len(encoded), length), self.pad_id)
        targets = np.full((len(encoded), length), -100)
        tiles = np.empty((len(encoded), 2 * TOKENS, 2), dtype=np.int64)
        positions = torch.empty(3, len(encoded), length, dtype=torch.long)
        for row, (demonstration, (tokens, prompt_length)) in enumerate(zip(demonstrations, encoded, strict=True)):
            images = KINDS[demonstration.question.kind].images
            ids[row, : len(tokens)] = tokens
            targets[row, prompt_length - 1 : len(tokens) - 1] = tokens[prompt_length:]
            order = np.array(_ORDER[images])
            tiles[row, :, 0] = np.array(demonstration.question.tiles)[order // TOKENS]
            tiles[row, :, 1] = order % TOKENS
            positions[:, row] = self.positions[images][:, :length]
        return Batch(torch.from_numpy(ids), positions, torch.from_numpy(targets), torch.from_numpy(tiles))

    def encode(self, demonstrations: Sequence[Demonstration]) -> list[tuple[list[int], int]]:
        """Token ids of prompt and response (with its end token), and the length of the prompt.

        Raises:
            ValueError: A demonstration is longer than :data:`MAX_TOKENS`.
        """
        prompts = [self.prompt_text(d.prompt, KINDS[d.question.kind].images) for d in demonstrations]
        prompt_ids = self.tokenizer(prompts)["input_ids"]
        response_ids = self.tokenizer([d.response for d in demonstrations])["input_ids"]
        encoded = []
        for prompt, response in zip(prompt_ids, response_ids, strict=True):
            if len(prompt) + len(response) + 1 > MAX_TOKENS:
                raise ValueError(
                    f"a demonstration has {len(prompt) + len(response) + 1} tokens, more than {MAX_TOKENS}: "
                    "shorten the judge templates of the digits task"
                )
            encoded.append((prompt + response + [self.end_id], len(prompt)))
        return encoded

    def stream(self, draw: Iterator[Demonstration], size: int, rng: Random, by_length: bool) -> Iterator[Batch]:
        """Endless batches of demonstrations.

        Args:
            draw: Where the demonstrations come from.
            size: Demonstrations in a batch.
            rng: Shuffles the batches.
            by_length: Put demonstrations of similar length together, so that little is padding. The roles are then
                not mixed within a batch.
        """
        while True:
            drawn = [next(draw) for _ in range(size * 16)]
            encoded = self.encode(drawn)
            order = list(range(len(drawn)))
            if by_length:
                order.sort(key=lambda i: len(encoded[i][0]))
            groups = [order[i : i + size] for i in range(0, len(order), size)]
            rng.shuffle(groups)
            for group in groups:
                yield self.build([drawn[i] for i in group], [encoded[i] for i in group])
