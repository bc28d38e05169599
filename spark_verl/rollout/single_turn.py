"""verl's single-turn agent loop, once per worker and with one tokenization per prompt."""

from __future__ import annotations

from typing import Any

from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

from spark_verl.rollout.media import MediaCache


class SharedSingleTurnLoop(SingleTurnAgentLoop):
    """One instance answers all samples of a worker, and the n samples of a prompt share its token ids.

    verl instantiates the loop for every sample, and every sample renders and tokenizes the prompt, images included,
    for itself. The loop has no state, and the n samples hold the very same messages.

    Args:
        cache: Where token ids live until the worker releases the prompt's messages.
        **kwargs: verl's.
    """

    def __init__(self, *args, cache: MediaCache, **kwargs):
        super().__init__(*args, **kwargs)
        self.cache = cache

    async def ct_build_initial_tokens(
        self, messages: list[dict], *args, mm_inputs_out: dict[str, Any] | None = None, **kwargs
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
