"""Asks vLLM whether it will take the rollout's settings, without starting an engine. Slow: imports vLLM.

verl hands its settings to vLLM as a command line. The same is done here, up to the configs that can be built without
the GPU that the run will have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from spark_verl.checks.keys import suggestion
from spark_verl.options import LONGEST_REASON, brief, refuse

_SECTION = "actor_rollout_ref.rollout"

ARGUMENTS = {
    "dtype": "dtype",
    "load_format": "load_format",
    "max_model_len": "max_model_len",
    "max_num_seqs": "max_num_seqs",
    "max_num_batched_tokens": "max_num_batched_tokens",
    "logprobs_mode": "logprobs_mode",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "tensor_model_parallel_size": "tensor_parallel_size",
    "scheduling_policy": "scheduling_policy",
    "enforce_eager": "enforce_eager",
    "seed": "seed",
}
"""verl's option of the rollout -> vLLM's (``vLLMHttpServer.launch_server``)."""


def check(config: DictConfig) -> None:
    """Ask vLLM, where it is what the run samples with.

    Raises:
        ValueError: It refuses something; a line for each.
    """
    if config.actor_rollout_ref.rollout.name == "vllm":
        refuse(_problems(config))


def _problems(config: DictConfig) -> Iterator[str]:
    from vllm import SamplingParams
    from vllm.config import CacheConfig, LoadConfig, SchedulerConfig
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.model_executor.model_loader import get_model_loader

    rollout, section = config.actor_rollout_ref.rollout, f"{_SECTION}.engine_kwargs.vllm"
    engine = OmegaConf.to_container(rollout.get("engine_kwargs") or OmegaConf.create({}), resolve=True)
    extra = (engine.get("vllm") if isinstance(engine, dict) else None) or {}
    if not isinstance(extra, dict):
        yield f"{section} is a section of options, got {brief(extra)}"
        return
    known = [one.name for one in dataclasses.fields(AsyncEngineArgs)]
    for name in extra:
        if str(name).replace("-", "_") not in known:
            key, names = f"{section}.{name}", [f"{section}.{one}" for one in known]
            yield f"{key}: vLLM has no such option{suggestion(key, names)}"
            return
    given = {ours: rollout.get(verls) for verls, ours in ARGUMENTS.items()} | extra
    places = {ours: f"{_SECTION}.{verls}" for verls, ours in ARGUMENTS.items()}
    places |= {name: f"{section}.{name}" for name in extra}
    for name, value in given.items():
        if (reason := _refusal(lambda name=name, value=value: _parse(name, value))) is not None:
            yield f"{places[name]}={brief(value)}: {reason}"
    length = rollout.max_model_len or config.data.max_prompt_length + config.data.max_response_length
    # verl raises the number of tokens itself where prompts are not cut into chunks.
    tokens = rollout.max_num_batched_tokens
    tokens = tokens if rollout.enable_chunked_prefill else max(tokens, length)
    limits = {"max_num_seqs": rollout.max_num_seqs, "max_num_batched_tokens": tokens}
    parts: dict[str, Callable[[], Any]] = {
        "gpu_memory_utilization": lambda: CacheConfig(gpu_memory_utilization=rollout.gpu_memory_utilization),
        "quantization": lambda: _quantize(rollout),
        "load_format": lambda: get_model_loader(LoadConfig(load_format=rollout.load_format)),
        "max_num_batched_tokens": lambda: SchedulerConfig(
            **limits,
            max_model_len=length,
            is_encoder_decoder=False,
            enable_chunked_prefill=bool(rollout.enable_chunked_prefill),
        ),
    }
    for place, sampling in (("", rollout), ("val_kwargs.", rollout.val_kwargs)):
        for name in ("temperature", "top_p", "top_k"):
            parts[f"{place}{name}"] = lambda name=name, sampling=sampling: SamplingParams(**{name: sampling[name]})
    for place, build in parts.items():
        if (reason := _refusal(build)) is not None:
            yield f"{_SECTION}.{place}={brief(OmegaConf.select(rollout, place))}: {reason}"


def _quantize(rollout: DictConfig) -> None:
    """What verl does with it before it calls vLLM."""
    from verl.workers.rollout.vllm_rollout.vllm_async_server import vLLMHttpServer

    model = SimpleNamespace(hf_config=SimpleNamespace(num_hidden_layers=0))
    if rollout.quantization is not None:
        vLLMHttpServer._apply_quantization(SimpleNamespace(config=rollout, model_config=model))  # ty: ignore[invalid-argument-type]


def _parse(name: str, value: Any) -> None:
    """Give an option to vLLM's command line."""
    from verl.workers.rollout.vllm_rollout.utils import build_cli_args_from_config
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):
        """vLLM's, which raises instead of ending the program."""

        def error(self, message: str) -> NoReturn:
            raise ValueError(message)

    AsyncEngineArgs.add_cli_args(Parser()).parse_args(build_cli_args_from_config({name: value}))


def _refusal(ask: Callable[[], Any]) -> str | None:
    """Why vLLM refuses what it is asked, if it does."""
    try:
        ask()
    except Exception as error:  # whatever vLLM raises is its answer
        return brief(error.errors()[0]["msg"] if isinstance(error, ValidationError) else error, LONGEST_REASON)
    return None
