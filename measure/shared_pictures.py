"""What it saves that a picture goes through the vision tower once per micro-batch, whatever the number of its rows.

    python measure/shared_pictures.py                             # one GPU, 30 GB: a Qwen2.5-VL of 2.2 B parameters
    python measure/shared_pictures.py --size tiny --device cpu    # says that it works

    python measure/shared_pictures.py --divide 1 2 4 8            # how much of that is left on several GPUs

verl's own engine computes log-probabilities and gradients of one batch, with and without, in turn on the same weights.
The batch is a step's: ``--questions`` pictures with ``--samples`` rows each, half of them judge prompts. Printed are
seconds, their ratio in each pair, how much of the pictures the tower saw, the GPU's peak, and how far the two ways are
apart (norm of the difference by the norm).

verl gives each of several GPUs rows of about the same work, whatever they show. ``--divide`` prints how many different
pictures a GPU has by its rows, and in one mini-batch, for a step of the recipes: 64 questions with 16 rows each, 8
mini-batches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from gpu_check.arms import SIGMA
from gpu_check.model import build
from gpu_check.sizes import SIZES, Size
from tensordict import NonTensorStack, TensorDict
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.dataset_utils import DatasetPadMode
from verl.utils.seqlen_balancing import calculate_workload, get_seqlen_balanced_partitions
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from spark_verl.compat import bootstrap, shared_pictures
from spark_verl.compat.vision_tower import vision_towers

PATCH = 3 * 2 * 14 * 14
"""Values of a patch of Qwen2.5-VL."""
QUESTION_TOKENS, JUDGE_TOKENS = 40, 120
"""Text of a prompt, and of a judge prompt."""


def make_engine(folder: Path, device: str) -> FSDPEngineWithLMHead:
    """verl's engine, as the recipes have it on a GPU."""
    model = HFModelConfig(
        path=str(folder),
        use_remove_padding=True,
        use_fused_kernels=True,
        fused_kernel_options={"impl_backend": "torch"},
        external_lib=bootstrap.MODEL_FIXES,
        enable_gradient_checkpointing=True,
    )
    dtype = "bf16" if device == "gpu" else "fp32"
    settings = FSDPEngineConfig(
        strategy="fsdp2",
        model_dtype="fp32",
        mixed_precision={"param_dtype": dtype, "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        use_torch_compile=False,
        use_remove_padding=True,
        use_fused_kernels=True,
    )
    optimizer = FSDPOptimizerConfig(lr=1e-6, total_training_steps=10)
    engine = FSDPEngineWithLMHead(model, settings, optimizer, CheckpointConfig())
    engine.initialize()
    return engine


class Row(NamedTuple):
    """A row's picture, by number and by height and width in image tokens, and its tokens of text and of response."""

    picture: int
    height: int
    width: int
    text: int
    response: int

    @property
    def tokens(self) -> int:
        """All of them, with the one that begins a picture."""
        return 1 + self.height * self.width + self.text + self.response


def draw_rows(size: Size, questions: int, samples: int, generator: torch.Generator) -> list[Row]:
    """The rows of a step, those about a picture one after the other."""
    rows = []
    for picture in range(questions):
        width, height = (
            int(torch.randint(low, high + 1, (), generator=generator)) for low, high in (size.widths, size.heights)
        )
        for sample in range(samples):
            text = JUDGE_TOKENS if sample % 2 else QUESTION_TOKENS
            drawn = size.median * torch.exp(SIGMA * torch.randn((), generator=generator))
            rows.append(Row(picture, height, width, text, min(size.longest, max(1, int(drawn)))))
    return rows


def make_batch(size: Size, ids: dict[str, int], questions: int, samples: int, limit: int) -> TensorDict:
    """Rows in verl's format, in the order in which a step has them.

    Args:
        size: Of pictures, responses and vocabulary.
        ids: Token ids of an image, and of the start of one.
        questions: Different pictures.
        samples: Rows about each of them.
        limit: Tokens per micro-batch.
    """
    generator = torch.Generator().manual_seed(0)
    columns: dict[str, list[torch.Tensor]] = defaultdict(list)
    pixels: dict[int, torch.Tensor] = {}
    media = []
    for row in draw_rows(size, questions, samples, generator):
        tokens = row.height * row.width
        if row.picture not in pixels:
            pixels[row.picture] = torch.randn(4 * tokens, PATCH, generator=generator)
        words = torch.randint(300, size.vocabulary // 2, (row.text + row.response,), generator=generator)
        start, picture = torch.tensor([ids["start"]]), torch.full((tokens,), ids["image"])
        prompt, response = torch.cat([start, picture, words[: row.text]]), words[row.text :]
        columns["input_ids"].append(torch.cat([prompt, response]))
        columns["position_ids"].append(positions(row.tokens, row.height, row.width))
        columns["prompts"].append(prompt)
        columns["responses"].append(response)
        columns["loss_mask"].append(torch.ones(row.response, dtype=torch.int64))
        grid = torch.tensor([[1, 2 * row.height, 2 * row.width]])
        media.append({"pixel_values": pixels[row.picture], "image_grid_thw": grid})
    nested = {name: torch.nested.as_nested_tensor(values, layout=torch.jagged) for name, values in columns.items()}
    batch = TensorDict({**nested, "multi_modal_inputs": NonTensorStack(*media)}, batch_size=[len(media)])
    packing = {"use_remove_padding": True, "use_dynamic_bsz": True, "use_fused_kernels": True, "temperature": 1.0}
    packing |= {"pad_mode": DatasetPadMode.NO_PADDING, "max_token_len_per_gpu": limit, "calculate_entropy": False}
    tu.assign_non_tensor(batch, **packing)
    return batch


def divided(
    size: Size, gpus: int, questions: int = 64, samples: int = 16, mini_batches: int = 8
) -> tuple[float, float]:
    """Pictures by rows on a GPU, and in a mini-batch of it, when verl divides a step; the mean of five steps."""
    shares = []
    for seed in range(5):
        rows = draw_rows(size, questions, samples, torch.Generator().manual_seed(seed))
        work = calculate_workload(torch.tensor([row.tokens for row in rows]))
        parts = get_seqlen_balanced_partitions(work, k_partitions=gpus, equal_size=True)
        length = len(parts[0]) // mini_batches
        cells = [part[first : first + length] for part in parts for first in range(0, len(part), length)]
        shares.append([sum(len({rows[i].picture for i in each}) for each in some) for some in (parts, cells)])
    return tuple(statistics.mean(found) / (questions * samples) for found in zip(*shares, strict=True))


def positions(tokens: int, height: int, width: int) -> torch.Tensor:
    """Text, temporal, height and width positions of a row that begins with a picture, shape (4, tokens)."""
    found = torch.arange(tokens).expand(4, -1).clone()
    end, grid = 1 + height * width, torch.arange(height * width)
    found[1, 1:end], found[2, 1:end], found[3, 1:end] = 1, 1 + grid // width, 1 + grid % width
    found[1:, end:] += 1 + max(height, width) - end
    return found


def loss_of(model_output: dict, data: TensorDict, dp_group: object = None) -> tuple[torch.Tensor, dict]:
    """A sum over the responses, which does not depend on how rows are divided, as verl wants a loss."""
    values = model_output["log_probs"].values()
    return -values.sum() / 1e4, {}


class Comparison:
    """One engine that looks at every row's picture, or at each picture once.

    Args:
        engine: verl's.
        batch: Rows.
        device: ``gpu`` or ``cpu``.
    """

    def __init__(self, engine: FSDPEngineWithLMHead, batch: TensorDict, device: str) -> None:
        self._engine, self._batch, self._on_gpu = engine, batch, device == "gpu"
        (self._tower,) = vision_towers(engine.module)
        self._sharing, self._shown_by = self._tower.forward, shared_pictures.shown_by
        self.patches = 0
        self._tower.patch_embed.register_forward_hook(self._count)

    def _count(self, module: object, arguments: tuple, output: object) -> None:
        self.patches += len(arguments[0])

    def share(self, on: bool) -> None:
        """Choose between the two ways."""
        self._tower.__dict__.pop("forward", None)
        if on:
            self._tower.forward = self._sharing
        shared_pictures.shown_by = self._shown_by if on else lambda batch: None

    def log_probs(self) -> torch.Tensor:
        """Log-probabilities of all rows, as the actor's before an update."""
        with self._engine.eval_mode():
            found = self._engine.infer_batch(self._batch.copy())["model_output"]["log_probs"]
        return torch.cat([row.float().cpu() for row in found.unbind()])

    def gradients(self) -> torch.Tensor:
        """Forward and backward over all rows; the norm of each weight's gradient."""
        with self._engine.train_mode():
            self._engine.optimizer_zero_grad()
            self._engine.forward_backward_batch(self._batch.copy(), loss_of)
            weights = [p for p in self._engine.module.parameters() if p.grad is not None]
            return torch.stack([p.grad.full_tensor().norm().float().cpu() for p in weights])

    def timed(self, work: Callable[[], torch.Tensor], on: bool) -> tuple[float, int, torch.Tensor]:
        """Seconds, patches seen, and what came out."""
        self.share(on)
        self.patches = 0
        if self._on_gpu:
            torch.cuda.synchronize()
        began = time.perf_counter()
        found = work()
        if self._on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - began, self.patches, found


def compare(comparison: Comparison, name: str, work: Callable[[], torch.Tensor], pairs: int) -> None:
    """Both ways in turn, after one of each that does not count; prints a line."""
    times: dict[bool, list[float]] = {False: [], True: []}
    patches, found = {}, {}
    for pair in range(pairs + 1):
        for on in (False, True) if pair % 2 else (True, False):
            seconds, patches[on], found[on] = comparison.timed(work, on)
            if pair:
                times[on].append(seconds)
    ratios = sorted(one / all_ for one, all_ in zip(times[True], times[False], strict=True))
    apart = float((found[True] - found[False]).norm() / found[False].norm())
    every, once = (statistics.median(times[on]) for on in (False, True))
    print(
        f"| {name} | {every:.2f} | {once:.2f} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        f" {patches[True] / patches[False]:.2f} | {apart:.1e} |",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--samples", type=int, default=12, help="rows about each picture")
    parser.add_argument("--tokens", type=int, default=24576, help="limit of a micro-batch")
    parser.add_argument("--pairs", type=int, default=5, help="that count")
    parser.add_argument(
        "--divide", nargs="+", type=int, metavar="GPUS", help="a step among so many, by arithmetic alone"
    )
    arguments = parser.parse_args()
    if arguments.divide:
        print("| GPUs | pictures by rows | in a mini-batch |\n|---|---|---|")
        for gpus in arguments.divide:
            whole, part = divided(SIZES[arguments.size], gpus)
            print(f"| {gpus} | {whole:.2f} | {part:.2f} |")
        return
    if arguments.device == "cpu" and not bootstrap.is_active():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **bootstrap.cpu_environment()})
    size = SIZES[arguments.size]
    os.environ[shared_pictures.SHARED_VARIABLE] = "1"
    os.environ.update({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"})
    os.environ.setdefault("MASTER_PORT", "29511")
    if arguments.device == "gpu":
        print(torch.cuda.get_device_name(), torch.__version__)
    dist.init_process_group("nccl" if arguments.device == "gpu" else "gloo")
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), size)
        engine = make_engine(Path(folder), arguments.device)
    config = engine.module.config
    ids = {"image": config.image_token_id, "start": config.vision_start_token_id}
    batch = make_batch(size, ids, arguments.questions, arguments.samples, arguments.tokens)
    tokens = int(batch["input_ids"].offsets()[-1])
    print(f"{len(batch)} rows about {arguments.questions} pictures, {tokens} tokens; {arguments.pairs} pairs\n")
    print("| | every row's picture, s | each once, s | ratio | patches seen | apart |\n|---|---|---|---|---|---|")
    comparison = Comparison(engine, batch, arguments.device)
    compare(comparison, "log-probabilities", comparison.log_probs, arguments.pairs)
    compare(comparison, "gradients", comparison.gradients, arguments.pairs)
    if arguments.device == "gpu":
        print(f"\nGPU's peak: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
