"""Equal pictures go through the vision tower once: the same embeddings and gradients, and rows that stay together."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tensordict import NonTensorStack, TensorDict
from transformers import (
    AutoModelForImageTextToText,
    Glm4vConfig,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen3VLConfig,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from spark_verl.compat.bootstrap import mend_models
from spark_verl.compat.shared_pictures import SHARED_VARIABLE, equal_to, share_pictures, shown_by, together
from spark_verl.compat.vision_tower import vision_towers

TEXT = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 120}
TEXT |= {"num_key_value_heads": 2, "pad_token_id": 0}
VISION = {"depth": 2, "num_heads": 2}
MODELS = {
    "Qwen2-VL": (Qwen2VLConfig, {**VISION, "embed_dim": 32, "hidden_size": 64}),
    "Qwen2.5-VL": (
        Qwen2_5_VLConfig,
        {**VISION, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 64}
        | {"window_size": 56, "fullatt_block_indexes": [1]},
    ),
    "Qwen3-VL": (
        Qwen3VLConfig,
        {**VISION, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 64, "patch_size": 14}
        | {"deepstack_visual_indexes": [0], "num_position_embeddings": 64},
    ),
    "GLM-4.1V": (
        Glm4vConfig,
        {**VISION, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 64, "image_size": 112},
    ),
}
GRIDS = [[1, 4, 4], [1, 4, 8], [1, 4, 4]]
SHOWN = [0, 1, 0, 2, 1, 1]
"""Which picture each row shows; the first and the last have the same shape."""


def tower_of(kind: str):
    make, vision = MODELS[kind]
    torch.manual_seed(0)
    (tower,) = vision_towers(AutoModelForImageTextToText.from_config(make(text_config=TEXT, vision_config=vision)))
    return tower


def embeddings_of(found) -> list[torch.Tensor]:
    """What a model takes from its tower."""
    return [found.pooler_output, *(getattr(found, "deepstack_features", None) or [])]


def look(tower) -> tuple[list[torch.Tensor], list[torch.Tensor], int]:
    """Embeddings, gradients of the weights, and patches that went through the tower."""
    generator = torch.Generator().manual_seed(1)
    pictures = [torch.randn(t * h * w, 3 * 2 * 14 * 14, generator=generator) for t, h, w in GRIDS]
    seen = []
    hook = tower.patch_embed.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    tower.zero_grad()
    pixels, grids = torch.cat([pictures[i] for i in SHOWN]), torch.tensor([GRIDS[i] for i in SHOWN])
    embeddings = embeddings_of(tower(pixels, grid_thw=grids))
    weights = [torch.randn(some.shape, generator=generator) for some in embeddings]
    sum((some * weight).sum() for some, weight in zip(embeddings, weights, strict=True)).backward()
    hook.remove()
    slopes = [p.grad.clone() for p in tower.parameters() if p.grad is not None]
    return [some.detach() for some in embeddings], slopes, sum(seen)


@pytest.mark.parametrize("kind", MODELS)
def test_embeddings_and_gradients_are_those_of_every_row(kind, monkeypatch):
    tower = tower_of(kind)
    share_pictures(tower)
    expected, slopes, patches = look(tower)
    assert patches == sum(16 if i != 1 else 32 for i in SHOWN), "nothing is shared unless the run asks for it"
    monkeypatch.setenv(SHARED_VARIABLE, "1")
    share_pictures(tower)
    found, summed, patches = look(tower)
    assert patches == 16 + 32 + 16
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(summed, slopes, rtol=1e-4, atol=1e-5)


def test_nothing_is_read_of_what_is_left_out(monkeypatch):
    monkeypatch.setenv(SHARED_VARIABLE, "1")
    tower = tower_of("Qwen2.5-VL")
    share_pictures(tower)
    pixels = torch.ones(32, 3 * 2 * 14 * 14)
    found = tower(pixels, grid_thw=torch.tensor([[1, 4, 4]] * 2))
    assert found.last_hidden_state is None and len(found.pooler_output) == 8


class OtherTower(torch.nn.Module):
    spatial_merge_size = 2

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, hidden_states, grid_thw):
        return self.made(hidden_states)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda pixels: pixels.view(-1, 4)[:, :1], [4, 4]),
        (lambda pixels: (pixels, [pixels + 1]), [16, 16]),
        (lambda pixels: pixels[:3], "returns Tensor of shape .3, 1., neither 2 embeddings nor 8 patches"),
        (lambda pixels: {"a": pixels}, "returns dict"),
    ],
    ids=["embeddings", "a tuple with a list", "another length", "another kind"],
)
def test_what_a_tower_may_return(made, expected, monkeypatch):
    monkeypatch.setenv(SHARED_VARIABLE, "1")
    tower = OtherTower(made)
    share_pictures(tower)
    pixels, grid = torch.ones(16, 1), torch.tensor([[1, 2, 2]] * 4)
    pixels[:4] = 2
    if isinstance(expected, str):
        with pytest.raises(NotImplementedError, match=expected):
            tower(pixels, grid_thw=grid)
        return
    found = tower(pixels, grid_thw=grid)
    assert isinstance(found, torch.Tensor) or torch.equal(found[0] + 1, found[1][0])
    first = found if isinstance(found, torch.Tensor) else found[0]
    assert len(first) == expected[0] and first[0] == 2 and (first[len(first) // 4 :] == 1).all()


def test_a_tower_of_another_kind_stays_as_it_is(monkeypatch):
    monkeypatch.setenv(SHARED_VARIABLE, "1")
    config = SiglipVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
    tower = SiglipVisionModel(config)
    before = tower.forward
    share_pictures(tower)
    assert tower.forward == before


@pytest.mark.parametrize(
    ("pictures", "grids", "expected"),
    [
        ([[1, 2], [1, 2], [3, 4]], [[1, 1, 2]] * 3, [0, 0, 2]),
        ([[1, 2], [2, 1], [1, 2]], [[1, 1, 2]] * 3, [0, 1, 0]),
        ([[1, 2], [1, 2]], [[1, 1, 2], [1, 2, 1]], [0, 1]),
        ([[float("nan")], [float("nan")]], [[1, 1, 1]] * 2, [0, 1]),
        ([[0.0]], [[1, 1, 1]], [0]),
    ],
    ids=["equal", "same sum", "another shape", "not a number", "one"],
)
def test_equal_pictures(pictures, grids, expected):
    assert equal_to([torch.tensor(values).view(-1, 1) for values in pictures], grids) == expected


def batch_of(*media) -> TensorDict:
    return TensorDict({"multi_modal_inputs": NonTensorStack(*media)}, batch_size=[len(media)])


def test_rows_are_known_by_their_pictures():
    red, blue = {"pixel_values": torch.ones(200, 3)}, {"pixel_values": torch.zeros(200, 3)}
    equal = {"pixel_values": torch.ones(200, 3), "image_grid_thw": torch.tensor([[1, 10, 20]])}
    first, second, third, text, other = shown_by(batch_of(red, blue, equal, {}, None))
    assert first == third and len({first, second, text, other}) == 4
    assert shown_by(batch_of(red, blue, {}, {})) is None
    assert shown_by(TensorDict({"input_ids": torch.ones(2, 3)}, batch_size=[2])) is None


ROWS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=8)


@given(ROWS, st.data())
def test_every_row_is_in_one_part_beside_those_that_show_the_same(rows, data):
    work, shown = [w for w, _ in rows], [s for _, s in rows]
    size = data.draw(st.integers(1, len(rows)))
    parts = together(work, shown, size)
    assert len(parts) == size and all(parts)
    assert sorted(sum(parts, [])) == list(range(len(rows)))
    assert sum(len({shown[row] for row in part}) for part in parts) <= len(set(shown)) + size - 1
    order = sum(parts, [])
    best = min(
        max(sum(work[row] for row in order[a:b]) for a, b in zip((0, *cuts), (*cuts, len(order)), strict=True))
        for n in range(size)
        for cuts in combinations(range(1, len(order)), n)
    )
    assert max(sum(work[row] for row in part) for part in parts) == best


@pytest.mark.parametrize(("share", "expected"), [(True, {"MINE": "1", SHARED_VARIABLE: "1"}), (False, {"MINE": "1"})])
def test_all_processes_are_told(share, expected):
    actor = {"strategy": "fsdp2", "freeze_vision_tower": False}
    config = OmegaConf.create(
        {
            "spark": {"share_media": share},
            "actor_rollout_ref": {"model": {"external_lib": None}, "actor": actor},
            "ray_kwargs": {"ray_init": {"runtime_env": {"env_vars": {"MINE": "1"}}}},
        }
    )
    mend_models(config)
    assert config.ray_kwargs.ray_init.runtime_env.env_vars == expected
