"""A prompt is tokenized once for its samples, and the token ids are those of verl's own loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hydra import compose, initialize_config_dir
from PIL import Image
from verl.experimental.agent_loop.agent_loop import DictConfigWrap
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.utils.dataset.rl_dataset import RLHFDataset

from spark_verl.rollout.media import MediaCache
from spark_verl.rollout.sharing import SharedSingleTurnLoop

RECIPES = str(Path(__file__).resolve().parents[2] / "recipes")


def messages(digit: int, image: bool) -> list[dict]:
    content = [{"type": "text", "text": f"{digit} plus 3?"}]
    if image:
        content.insert(0, {"type": "image", "image": Image.new("RGB", (56, 56), (digit, 0, 0))})
    return [{"role": "user", "content": content}]


async def build(loop: SingleTurnAgentLoop, prompt: list[dict]) -> tuple[list[int], dict]:
    """As ``SingleTurnAgentLoop.run`` calls it: with a list of its own of the same messages."""
    media = await loop.process_multi_modal_info(list(prompt))
    features: dict = {}
    ids = await loop.ct_build_initial_tokens(list(prompt), images=media.get("images"), mm_inputs_out=features)
    return ids, features


def test_once_per_prompt_and_as_verl_does_it(processor) -> None:
    with initialize_config_dir(RECIPES, version_base=None):
        config = compose("quickstart")

    async def run():
        arguments = {
            "trainer_config": DictConfigWrap(config),
            "server_manager": None,
            "tokenizer": processor.tokenizer,
            "processor": processor,
            "dataset_cls": RLHFDataset,
            "data_config": DictConfigWrap(config.data),
            "hf_model_type": "qwen2_5_vl",
        }
        cache = MediaCache()
        plain, shared = SingleTurnAgentLoop(**arguments), SharedSingleTurnLoop(**arguments, cache=cache)
        calls = []
        builder = shared.continuous_token_builder
        build_tokens = builder.build_initial_tokens
        builder.build_initial_tokens = lambda *a, **k: calls.append(1) or build_tokens(*a, **k)
        for image in (True, False):
            prompt = messages(4, image)
            expected, expected_features = await build(plain, prompt)
            found = await asyncio.gather(*(build(shared, prompt) for _ in range(8)))
            assert len(calls) == 1, "eight samples, one tokenization"
            assert all(ids == expected and features.keys() == expected_features.keys() for ids, features in found)
            assert len({id(ids) for ids, _ in found}) == 8, "a sample may append to its ids"
            # Another prompt with the same text has its own images: it is told apart.
            assert (await build(shared, messages(4, image)))[0] == expected and len(calls) == 2
            cache.release(prompt)
            await build(shared, prompt)
            assert len(calls) == 3, "released prompts are forgotten"
            calls.clear()

    asyncio.run(run())
