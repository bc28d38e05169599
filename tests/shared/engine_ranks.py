"""Two ranks on gloo: verl's real FSDP2 engine, with what this package mends in it. Run by torchrun.

    torchrun --nproc-per-node 2 engine_ranks.py vision|text FOLDER

Makes a small model in FOLDER and prints one line "ok NAME" for each check that holds; any other ends with an error.
Rank 0 has rows with images and a micro-batch of a single row, rank 1 has text only; both have padding rows.
"""

import copy
import os
import sys
from collections.abc import Callable

import torch
import torch.distributed as dist
from tensordict import NonTensorStack, TensorDict
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Config, Qwen2ForCausalLM
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.dataset_utils import DatasetPadMode
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from spark_verl.compat import packed_attention
from spark_verl.compat.bootstrap import MODEL_FIXES
from spark_verl.compat.shared_pictures import SHARED_VARIABLE
from spark_verl.compat.vision_tower import FROZEN_VARIABLE, vision_towers

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "vocab_size": 120, "tie_word_embeddings": False}
IMAGE, PATCH = 110, 3 * 2 * 14 * 14
ROWS = {0: [((4, 4), 9, 12), ((4, 8), 30, 4), (None, 15, 8), ((8, 4), 2, 20), (None, 1, 7)]}
ROWS[1] = [(None, 9, 12), (None, 30, 4), (None, 15, 8), (None, 2, 20), (None, 5, 7)]
"""Per rank: patches of the row's image, tokens of its question and of its response."""


def make_model(kind: str, folder: str) -> None:
    torch.manual_seed(0)
    if kind == "text":
        Qwen2ForCausalLM(Qwen2Config(**SIZES)).save_pretrained(folder)
        return
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64}
    vision |= {"fullatt_block_indexes": [1], "window_size": 56}
    text = {**SIZES, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, image_token_id=IMAGE)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)


class Row:
    """Token ids, positions, image and response length of one row."""

    def __init__(self, kind: str, image: tuple | None, question: int, response: int, generator: torch.Generator):
        def draw(n: int) -> torch.Tensor:
            return torch.randint(3, 100, (n,), generator=generator)

        height, width = image or (0, 0)
        seen = height * width // 4
        self.ids = torch.cat([draw(question), torch.full((seen,), IMAGE), draw(response)])
        self.response = response
        places = torch.arange(len(self.ids)).expand(3, -1).clone()
        self.media = {}
        if image:
            grid = torch.arange(seen)
            places[:, question : question + seen] = question + torch.stack(
                [torch.zeros(seen, dtype=torch.int64), grid // (width // 2), grid % (width // 2)]
            )
            places[:, question + seen :] += question + max(height, width) // 2 - places[0, question + seen]
            pixels = torch.randn(height * width, PATCH, generator=generator)
            self.media = {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, height, width]])}
        plain = torch.arange(len(self.ids))
        self.positions = plain if kind == "text" else torch.cat([plain[None], places])
        self.weights = torch.randn(len(self.ids), generator=generator)
        # The last token has no next one: its label differs between packed and padded rows, and counts nowhere.
        self.weights[-1] = 0


def build(folder: str, attention: str | None, packed: bool, dtype: str = "fp32", lora: int = 0):
    override = {"attn_implementation": attention} if attention else {}
    model = HFModelConfig(
        path=folder,
        load_tokenizer=False,
        override_config=override,
        use_remove_padding=packed,
        use_fused_kernels=True,
        fused_kernel_options={"impl_backend": "torch"},
        external_lib=MODEL_FIXES,
        enable_gradient_checkpointing=True,
        lora_rank=lora,
        lora_alpha=8,
        target_modules="all-linear",
        exclude_modules=".*visual.*",
    )
    engine = FSDPEngineConfig(
        strategy="fsdp2",
        model_dtype="fp32",
        mixed_precision={"param_dtype": dtype, "reduce_dtype": "fp32", "buffer_dtype": "fp32"},
        use_torch_compile=False,
        use_remove_padding=packed,
        use_fused_kernels=True,
        use_no_sync_for_gradient_accumulation=False,
    )
    optimizer = FSDPOptimizerConfig(lr=1e-3, total_training_steps=10)
    made = FSDPEngineWithLMHead(model, engine, optimizer, CheckpointConfig())
    torch.manual_seed(1)
    made.initialize()
    return made


def batch(rows: list[Row], packed: bool, **more) -> TensorDict:
    def nest(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.nested.as_nested_tensor(values, layout=torch.jagged)

    columns = {
        "input_ids": nest([row.ids for row in rows]),
        "position_ids": nest([row.positions for row in rows]),
        "prompts": nest([row.ids[: -row.response] for row in rows]),
        "responses": nest([row.ids[-row.response :] for row in rows]),
        "loss_mask": nest([torch.ones(row.response, dtype=torch.int64) for row in rows]),
        "weights": nest([row.weights for row in rows]),
    }
    if rows[0].positions.dim() == 2:
        columns["multi_modal_inputs"] = NonTensorStack(*(row.media for row in rows))
    data = TensorDict(columns, batch_size=[len(rows)])
    settings = {"use_remove_padding": packed, "use_dynamic_bsz": True, "use_fused_kernels": True, "temperature": 1.0}
    settings |= {"pad_mode": DatasetPadMode.NO_PADDING, "max_token_len_per_gpu": 70, "calculate_entropy": True}
    tu.assign_non_tensor(data, **settings | more)
    return data


def log_probs(engine, rows: list[Row], packed: bool, **more) -> list[torch.Tensor]:
    with engine.eval_mode():
        found = engine.infer_batch(batch(rows, packed, **more))["model_output"]
    return [row[:-1] for name in ("log_probs", "entropy") for row in found[name].unbind()]


def loss_of(model_output: dict, data: TensorDict, dp_group=None) -> tuple[torch.Tensor, dict]:
    pairs = zip(model_output["log_probs"].unbind(), data["weights"].unbind(), strict=True)
    return sum((values * weights).sum() for values, weights in pairs) / 1000, {}


def gradients(engine, rows: list[Row], packed: bool, **more) -> dict[str, torch.Tensor]:
    with engine.train_mode():
        engine.optimizer_zero_grad()
        engine.forward_backward_batch(batch(rows, packed, **more), loss_of)
        named = engine.module.named_parameters()
        return {name: p.grad.full_tensor().clone() for name, p in named if p.grad is not None}


def same(found: list[torch.Tensor], expected: list[torch.Tensor], atol: float) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=atol)


def same_gradients(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys() and found
    same([found[name] for name in expected], list(expected.values()), 5e-7)


def check_packed(folder: str, rows: list[Row]) -> None:
    padded = build(folder, "sdpa", packed=False)
    expected, slopes = log_probs(padded, rows, False), gradients(padded, rows, False)
    for attention in (None, packed_attention.NAME, "sdpa"):
        engine = build(folder, attention, packed=True)
        wanted = attention or packed_attention.NAME
        assert engine.module.config._attn_implementation == wanted
        assert "attn_implementation" not in engine.module.config.to_dict()
        same(log_probs(engine, rows, True), expected, 1e-6)
        same_gradients(gradients(engine, rows, True), slopes)
        done(f"packed {attention or 'default'}")
    # Padded rows go through it as well.
    engine = build(folder, packed_attention.NAME, packed=False)
    same(log_probs(engine, rows, False), expected, 1e-6)
    done("padded on packed attention")


def check_one_length(folder: str, rows: list[Row]) -> None:
    engine = build(folder, None, packed=True)
    kind = "text" if rows[0].positions.dim() == 1 else "vision"
    generator = torch.Generator().manual_seed(7)
    alike = [Row(kind, None, 6, 5, generator) for _ in range(4)]
    longer = Row(kind, None, 9, 9, generator)
    one_length, mixed = log_probs(engine, alike, True), log_probs(engine, [*alike, longer], True)
    same(one_length, mixed[:4] + mixed[5:9], 1e-6)
    same(log_probs(engine, alike[:1], True), [one_length[0], one_length[4]], 1e-6)
    done("rows of one length")


def check_weights(folder: str, rows: list[Row]) -> None:
    engine = build(folder, None, packed=True, dtype="bf16")
    expected = {name: p.full_tensor().bfloat16() for name, p in engine.module.state_dict().items()}
    sent = dict(engine.get_per_tensor_param()[0])
    assert sent.keys() == expected.keys()
    assert all(sent[name].dtype == torch.bfloat16 and torch.equal(sent[name], expected[name]) for name in sent)
    whole_pixels, light = log_probs(engine, rows, True), copy.deepcopy(rows)
    for row in light:
        row.media = {name: value.bfloat16() if name == "pixel_values" else value for name, value in row.media.items()}
    same(log_probs(engine, light, True), whole_pixels, 0)
    done("pixels of 16 bits are as good")
    whole = build(folder, None, packed=True)
    assert {weight.dtype for _, weight in whole.get_per_tensor_param()[0]} == {torch.float32}
    done("weights are cast first")


def check_vision_tower(folder: str, rows: list[Row]) -> None:
    engine = build(folder, None, packed=True, lora=4)
    for name, parameter in engine.module.named_parameters():
        # An adapter's second half starts at zero, and would leave nothing to compare.
        if "lora_B" in name:
            torch.nn.init.normal_(parameter.to_local())
    (tower,) = vision_towers(engine.module.get_base_model())
    passes = []
    tower.blocks[0].register_full_backward_hook(lambda *_: passes.append(1))
    found = gradients(engine, rows, True)
    assert not passes and not any("visual" in name for name in found)
    del tower.forward
    expected = gradients(engine, rows, True)
    assert passes, "transformers lets no gradients into a frozen tower now: this can go"
    same_gradients(found, expected)
    done("an adapter leaves the tower alone")
    trained = gradients(build(folder, None, packed=True), rows, True)
    assert any("visual" in name for name in trained)
    os.environ[FROZEN_VARIABLE] = "1"
    engine = build(folder, None, packed=True)
    found = gradients(engine, rows, True)
    same_gradients(found, {name: slope for name, slope in trained.items() if "visual" not in name})
    before = {name: p.full_tensor().clone() for name, p in engine.module.named_parameters()}
    with engine.train_mode():
        engine.train_batch(batch(rows, True), loss_of)
    moved = {name for name, p in engine.module.named_parameters() if not torch.equal(p.full_tensor(), before[name])}
    assert moved and not any("visual" in name for name in moved)
    del os.environ[FROZEN_VARIABLE]
    done("a frozen tower stays as it is")


def check_shared_pictures(folder: str, rows: list[Row]) -> None:
    """Each row twice, far from its like: rank 0 has pictures, rank 1 has none."""
    rows = [*rows, *copy.deepcopy(rows)]

    def work(packed: bool) -> tuple[dict, list[torch.Tensor], int]:
        engine = build(folder, "sdpa", packed)
        (tower,) = vision_towers(engine.module)
        seen = []
        tower.patch_embed.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
        room = {"max_token_len_per_gpu": 140}
        return gradients(engine, rows, packed, **room), log_probs(engine, rows, packed, **room), sum(seen)

    for packed in (True, False):
        slopes, values, all_patches = work(packed)
        os.environ[SHARED_VARIABLE] = "1"
        shared_slopes, shared_values, patches = work(packed)
        del os.environ[SHARED_VARIABLE]
        same(shared_values, values, 1e-6)
        same_gradients(shared_slopes, slopes)
        # A micro-batch may end between two rows about the same picture, and one without any looks at zeros.
        if any(row.media for row in rows):
            assert patches <= 0.75 * all_patches, (patches, all_patches)
    done("a picture is looked at once")


def done(name: str) -> None:
    dist.barrier()
    if dist.get_rank() == 0:
        print("ok", name, flush=True)


def main(kind: str, folder: str) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    if rank == 0:
        make_model(kind, folder)
    dist.barrier()
    generator = torch.Generator().manual_seed(5 + rank)
    shapes = ROWS[rank if kind == "vision" else 1]
    rows = [Row(kind, *shape, generator) for shape in shapes]
    rows += [Row(kind, None, 39, 1, generator) for _ in range(3)]
    checks: list[Callable] = [check_packed, check_one_length, check_weights]
    for check in checks + [check_vision_tower, check_shared_pictures] * (kind == "vision"):
        check(folder, rows)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
