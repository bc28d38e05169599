"""verl's own code for Qwen3-VL computes what transformers does: with images, without, and with fused kernels.

Nothing is mended there. When a test fails, verl or transformers has changed, and the model has to be looked at again.
"""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[1] / "shared"

COMPARE = """
import sys
from pathlib import Path

import numpy
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.models.transformers.monkey_patch import apply_monkey_patch

sys.path.insert(0, {shared!r})
from small_models import save_qwen3_vl

folder = save_qwen3_vl(Path({folder!r}), {like!r})
processor = AutoProcessor.from_pretrained(folder)
model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
image = Image.fromarray(numpy.random.default_rng(0).integers(0, 255, (56, 112, 3), dtype=numpy.uint8))
content = [{{"type": "image", "image": image}}, {{"type": "text", "text": "What is the sum?"}}]
text = processor.apply_chat_template([{{"role": "user", "content": content}}], tokenize=False)
seen = dict(processor(text=[text], images=[image], return_tensors="pt"))
kinds = seen.pop("mm_token_type_ids")
read = dict(processor.tokenizer("What is the sum?", return_tensors="pt"))

def places(batch, kinds=None):
    if kinds is None:
        return torch.arange(batch["input_ids"].shape[1])[None, None].expand(3, 1, -1)
    grid = batch["image_grid_thw"]
    return model.model.get_rope_index(
        batch["input_ids"], mm_token_type_ids=kinds, image_grid_thw=grid, attention_mask=batch["attention_mask"]
    )[0]

def gradient():
    found = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    model.zero_grad()
    return found

def log_probs(logits, ids):
    return torch.log_softmax(logits, -1).gather(-1, torch.roll(ids, -1, 1)[..., None])[..., 0]

batches = [(seen, places(seen, kinds)), (read, places(read))]
wanted = []
for batch, position_ids in batches:
    more = {{"mm_token_type_ids": kinds}} if batch is seen else {{}}
    found = log_probs(model(**batch, **more).logits, batch["input_ids"])
    found.sum().backward()
    for weight in model.parameters():  # without an image the tower has none
        weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
    wanted.append((found.detach(), gradient()))

result = []
for fused in (False, True):
    apply_monkey_patch(model, use_remove_padding=False, use_fused_kernels=fused, fused_kernels_backend="torch")
    for (batch, position_ids), (expected, slope) in zip(batches, wanted):
        out = model(**batch, position_ids=position_ids, temperature=1.0)
        found = out.log_probs if fused else log_probs(out.logits, batch["input_ids"])
        found.sum().backward()
        # Every weight has a gradient, the tower's is 0 without an image: all ranks take part in its collectives.
        missing = [name for name, weight in model.named_parameters() if weight.grad is None]
        close = torch.allclose(found, expected, atol=1e-5) and torch.allclose(gradient(), slope, atol=1e-4)
        result.append((close, missing))
"""


def test_verl_computes_what_transformers_does(run_python, model_folder, tmp_path):
    code = COMPARE.format(shared=str(SHARED), folder=str(tmp_path / "model"), like=model_folder)
    found = run_python(code, VERL_PLATFORM="cpu")
    assert [tuple(each) for each in found] == [(True, [])] * 4
