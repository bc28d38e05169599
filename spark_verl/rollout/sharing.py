"""What only saves work: with or without it, the worker makes the same rows.

A prompt's n samples and the judge prompts about them share their question and its images. verl tokenizes the prompt,
and fetches and processes its images, for each sample and several times over; here it is done once
(:class:`~spark_verl.rollout.media.MediaCache`). verl stores the decoded images with every row, and each row in a
request of its own; here images are left out and a prompt's rows go together.

``spark.share_media: false`` switches the sharing of images and tokens off.
"""

from __future__ import annotations

from typing import Any

import hydra
import torch
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopOutput,
    DictConfigWrap,
    ToolListWrap,
    _agent_loop_registry,
)
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.utils.rollout_trace import rollout_trace_attr
from verl.utils.tokenizer import get_processor_token_id

from spark_verl.compat import verl_rows
from spark_verl.config import load_spark_config
from spark_verl.rollout.media import (
    MediaCache,
    media_objects,
    share_image_processing,
    share_media_fetching,
    without_media,
)
from spark_verl.rollout.plain import PlainWorker
from spark_verl.rollout.routing import sampling
from spark_verl.vocabulary import Message


class SharedSingleTurnLoop(SingleTurnAgentLoop):
    """verl's single-turn loop, once per worker, with one tokenization per prompt.

    verl instantiates the loop for every sample, and every sample renders and tokenizes the prompt, images included,
    for itself. The loop has no state, and the n samples hold the very same messages.

    Args:
        cache: Where token ids live until the worker releases the prompt's messages.
        *args, **kwargs: verl's.
    """

    def __init__(self, *args: Any, cache: MediaCache, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cache = cache

    async def ct_build_initial_tokens(
        self, messages: list[Message], *args: Any, mm_inputs_out: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[int]:
        """verl's token ids (and processor features in ``mm_inputs_out``), made once per prompt."""
        plain = super().ct_build_initial_tokens

        async def build() -> dict[str, Any]:
            features: dict[str, Any] = {}
            ids = await plain(messages, *args, mm_inputs_out=features, **kwargs)
            return {"ids": ids, "features": features}

        key = ("prompt", tuple(map(id, messages)))
        found = await self.cache.fetch(key, list(messages), build)
        if mm_inputs_out is not None:
            mm_inputs_out.update(found["features"])
        # Each sample's own list: its response is appended to it.
        return list(found["ids"])


_SHARED_LOOP = f"{SharedSingleTurnLoop.__module__}.{SharedSingleTurnLoop.__name__}"


class Sharing(PlainWorker):
    """A worker that shares; see the module's docstring."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spark = load_spark_config(self.config)
        verl_rows.group_writes(verl_rows.media_dtype(self.config))
        self.media = MediaCache()
        self._shared_loops: dict[str, SingleTurnAgentLoop | None] = {}
        if self.spark.share_media:
            share_image_processing(self.processor, self.media)
            self.dataset_cls = share_media_fetching(self.dataset_cls, self.media)
        media_ids = (get_processor_token_id(self.processor, kind) for kind in ("image", "video"))
        self.media_ids = {token_id for token_id in media_ids if token_id is not None}
        self._keep_raw_prompt = self.config.reward.reward_model.enable

    async def _run_prompt(
        self, prompt: dict[str, Any], sampling_params: dict[str, Any], trajectory: dict[str, Any], trace: bool = False
    ) -> None:
        messages = prompt["raw_prompt"]
        with self.media.holding([*messages, *media_objects(messages)]), sampling(prompt["uid"]):
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)

    async def _run_agent_loop(
        self,
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        *,
        agent_name: str,
        trace: bool = True,
        **kwargs: Any,
    ) -> None:
        loop = None if trace else self._shared_agent_loop(agent_name)
        if loop is None:
            return await super()._run_agent_loop(
                sampling_params, trajectory, agent_name=agent_name, trace=trace, **kwargs
            )
        with rollout_trace_attr(trace=False):
            output = await loop.run(sampling_params, **kwargs)
            return await self._agent_loop_postprocess(output, trajectory["validate"], **kwargs)

    def _shared_agent_loop(self, agent_name: str) -> SingleTurnAgentLoop | None:
        """The one instance for verl's single-turn loop, or for a class derived from :class:`SharedSingleTurnLoop`.

        Returns:
            None for any other loop: verl instantiates it for every sample.
        """
        if agent_name not in self._shared_loops:
            # A name that is not registered is verl's to complain about; a target may also be a function.
            entry = dict(_agent_loop_registry.get(agent_name, {"_target_": "builtins.object"}))
            kind = hydra.utils.get_object(entry["_target_"])
            if kind is SingleTurnAgentLoop:
                kind, entry["_target_"] = SharedSingleTurnLoop, _SHARED_LOOP
            loop = None
            if self.spark.share_media and isinstance(kind, type) and issubclass(kind, SharedSingleTurnLoop):
                # An entry of agent_loop_config_path may have more arguments for its class.
                make = hydra.utils.instantiate({**entry, "_partial_": True})
                loop = make(**self.loop_arguments(), cache=self.media)
            self._shared_loops[agent_name] = loop
        return self._shared_loops[agent_name]

    def loop_arguments(self) -> dict[str, Any]:
        """What verl instantiates an agent loop with."""
        return {
            "trainer_config": DictConfigWrap(self.config),
            "server_manager": self.llm_client,
            "tokenizer": self.tokenizer,
            "processor": self.processor,
            "hf_model_type": self.hf_model_type,
            "dataset_cls": self.dataset_cls,
            "data_config": DictConfigWrap(self.config.data),
            "tools": ToolListWrap(self.tools),
        }

    async def _agent_loop_postprocess(
        self, output: AgentLoopOutput | list[AgentLoopOutput], validate: bool, **kwargs: Any
    ) -> None:
        if not self._keep_raw_prompt:
            # verl stores every field of the prompt with every sample. Only a reward model reads the raw prompt there,
            # and its decoded images would travel n times.
            kwargs["raw_prompt"] = without_media(kwargs["raw_prompt"])
        await super()._agent_loop_postprocess(output, validate, **kwargs)

    def _compute_multi_modal_inputs(self, output: AgentLoopOutput, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """verl's tensors for the actor, made once per group: they depend on the media only, not on the tokens."""
        media = output.multi_modal_data or {}
        owners = [item for items in media.values() if items is not None for item in items]
        tool_media = not self.media_ids.isdisjoint(output.response_ids)
        if not owners or not self.spark.share_media or tool_media:
            return super()._compute_multi_modal_inputs(output, input_ids)
        key = ("multi_modal_inputs", tuple(map(id, owners)))
        plain = super()._compute_multi_modal_inputs
        # verl decodes the ids and hands the text to the processor, so a response that merely spells <|image_pad|> would
        # be short of an image there. The prompt alone gives the same tensors.
        prompt_ids = torch.tensor(output.prompt_ids, dtype=input_ids.dtype)
        return dict(self.media.get(key, owners, lambda: plain(output, prompt_ids)))
