"""Make a model of a merged LoRA checkpoint: ``python -m spark_verl.runs.adapter FOLDER``.

verl's merger writes the base model's weights into ``FOLDER`` and the trained adapter beside them, into
``FOLDER/lora_adapter``: whoever serves ``FOLDER`` serves the untrained model. Here the adapter is added to the weights,
so that ``FOLDER`` is what was trained; ``FOLDER/lora_adapter`` stays, for use with the base model.

verl's merger also lists the adapted layers by the last part of their names (``down_proj``). PEFT then adapts every
layer of that name: those of the vision tower, too, which ``exclude_modules`` kept out of the training, and it warns
that their weights are missing. The list is replaced by the layers that the adapter holds weights of.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from safetensors import safe_open

_PREFIX = "base_model.model."


def name_adapted_layers(folder: Path) -> list[str]:
    """Write the full names of the adapted layers into ``adapter_config.json``.

    Args:
        folder: With ``adapter_config.json`` and ``adapter_model.safetensors``.

    Returns:
        The names, sorted.

    Raises:
        FileNotFoundError: One of the files is missing.
        ValueError: The weights are not those of a LoRA adapter.
    """
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as weights:
        found = {key.removeprefix(_PREFIX).partition(".lora_")[0] for key in weights.keys() if ".lora_" in key}
    if not found:
        raise ValueError(f"{folder / 'adapter_model.safetensors'} holds no LoRA weights")
    config["target_modules"] = sorted(found)
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return config["target_modules"]


def add_to_weights(folder: Path) -> None:
    """Add the adapter to the model's weights, and note it in ``lora_adapter/added``.

    Args:
        folder: A model folder with the base model's weights and ``lora_adapter``; needs disk for the weights once more.

    Raises:
        ValueError: It has been added before.
    """
    import transformers
    from peft import PeftModel

    note = folder / "lora_adapter" / "added"
    if note.exists():
        raise ValueError(f"{folder / 'lora_adapter'} has been added to the weights of {folder} before")
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder, dtype="auto")
    merged = PeftModel.from_pretrained(model, folder / "lora_adapter").merge_and_unload()
    # Complete before anything of the base model is gone.
    building = folder / "merging"
    merged.save_pretrained(building)
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    for new in building.glob("model*.safetensors*"):
        new.rename(folder / new.name)
    shutil.rmtree(building)
    note.touch()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    layers = name_adapted_layers(target / "lora_adapter")
    try:
        add_to_weights(target)
    except ValueError as error:
        sys.exit(f"spark_verl.runs.adapter: {error}")
    print(f"adapter: {len(layers)} layers of {target} are the trained ones")
