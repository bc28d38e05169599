"""Turns demonstrations into padded tensors without running the processor for each of them.

A chat prompt is fixed text around the user turn, an image is a fixed number of placeholder tokens, and a position id
depends only on how many images a prompt has. So each is worked out once, with the processor and Hugging Face's own
``get_rope_index``, and only the words in between are tokenised per demonstration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from spark_verl.digits.architecture import TOKENS
from spark_verl.digits.demonstrations import Demonstration
from spark_verl.division import even_parts

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
        lengths: Tokens of each demonstration.
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    tiles: Tensor
    lengths: list[int]

    def rows(self, chosen: list[int]) -> Batch:
        """Some of the demonstrations, at least one, padded to the longest of these."""
        lengths = [self.lengths[row] for row in chosen]
        seen = slice(max(lengths))
        return Batch(
            self.ids[chosen, seen],
            self.positions[:, chosen, seen],
            self.targets[chosen, seen],
            self.tiles[chosen],
            lengths,
        )


def shares(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Divide the rows of a batch so that the most padded tokens in one part are as few as possible.

    Args:
        lengths: Tokens of each row.
        size: Number of parts. The last ones are empty where that is no worse.

    Returns:
        Row numbers of each part, longest rows first: neighbours in length are together.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    found = even_parts(order, size, lambda part: len(part) * lengths[part[0]])
    return found + [[]] * (size - len(found))


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
        self.known: dict[str, list[int]] = {}
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
        return model.model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grid)[0][:, 0]  # ty: ignore[invalid-argument-type]

    def build(self, demonstrations: Sequence[Demonstration], encoded: Sequence[tuple[list[int], int]]) -> Batch:
        """Pad demonstrations that :meth:`encode` has tokenised."""
        counts = [d.question.image_count for d in demonstrations]
        ids = [torch.tensor(tokens) for tokens, _ in encoded]
        targets = [torch.tensor([-100] * (prompt - 1) + tokens[prompt:] + [-100]) for tokens, prompt in encoded]
        length = max(map(len, ids))
        shown = torch.tensor([d.question.tiles for d in demonstrations])
        order = torch.tensor([_ORDER[count] for count in counts])
        return Batch(
            ids=pad_sequence(ids, batch_first=True, padding_value=self.pad_id),
            positions=torch.stack([self.positions[count][:, :length] for count in counts], dim=1),
            targets=pad_sequence(targets, batch_first=True, padding_value=-100),
            tiles=torch.stack((shown.gather(1, order // TOKENS), order % TOKENS), dim=-1),
            lengths=[len(tokens) for tokens, _ in encoded],
        )

    def encode(self, demonstrations: Sequence[Demonstration]) -> list[tuple[list[int], int]]:
        """Token ids of prompt and response (with its end token), and the length of the prompt.

        Raises:
            ValueError: A demonstration is longer than :data:`MAX_TOKENS`.
        """
        encoded = []
        for demonstration in demonstrations:
            prompt = self._ids(self.prompt_text(demonstration.prompt, demonstration.question.image_count))
            tokens = [*prompt, *self._ids(demonstration.response), self.end_id]
            if len(tokens) > MAX_TOKENS:
                raise ValueError(
                    f"a demonstration has {len(tokens)} tokens, more than {MAX_TOKENS}: "
                    "shorten the judge templates of the digits task"
                )
            encoded.append((tokens, len(prompt)))
        return encoded

    def _ids(self, text: str) -> list[int]:
        # No token goes on behind a space within it, so words can be looked up one by one; there are only a few.
        words = re.findall(r" ?[^ ]+| ", text)
        for word in words:
            if word not in self.known:
                self.known[word] = self.tokenizer(word)["input_ids"]
        return [token for word in words for token in self.known[word]]

    def stream(self, draw: Callable[[], Demonstration], size: int, rng: Random, by_length: bool) -> Iterator[Batch]:
        """Endless batches of demonstrations.

        Args:
            draw: Gives the next demonstration.
            size: Demonstrations in a batch.
            rng: Shuffles the batches.
            by_length: Put demonstrations of similar length together, so that little is padding. The roles are then
                not mixed within a batch.
        """
        while True:
            drawn = [draw() for _ in range(size * 16)]
            encoded = self.encode(drawn)
            order = list(range(len(drawn)))
            if by_length:
                order.sort(key=lambda i: len(encoded[i][0]))
            groups = [order[i : i + size] for i in range(0, len(order), size)]
            rng.shuffle(groups)
            for group in groups:
                yield self.build([drawn[i] for i in group], [encoded[i] for i in group])
