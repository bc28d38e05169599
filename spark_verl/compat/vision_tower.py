"""A vision tower that is not trained costs no gradients: verl's LoRA lets them flow through it all the same.

With an adapter verl calls ``enable_input_require_grads``, which in transformers 5.9 also hooks the tower's patches. So
every activation of a frozen tower is kept, and computed backwards, for gradients that nobody reads.

verl 0.9.1 has ``actor.freeze_vision_tower`` in its config and nothing that reads it; here it is read, through the
environment of the run's processes (:data:`FROZEN_VARIABLE`): models are built where the actor's config is not at hand.
"""

from __future__ import annotations

import os
from typing import Any

from spark_verl.compat.shared_pictures import share_pictures

FROZEN_VARIABLE = "SPARK_FREEZE_VISION_TOWER"
"""Set to 1 where ``actor.freeze_vision_tower`` is true."""


def vision_towers(model: Any) -> list[Any]:
    """The modules of a transformers model that have the config of its vision part; none for a text model."""
    vision = getattr(model.config, "vision_config", None)
    found = [] if vision is None else [m for m in model.modules() if type(getattr(m, "config", None)) is type(vision)]
    # Attention layers have it, too: the tower is what comes first, and holds the others.
    return found[:1]


def prepare_vision_tower(model: Any) -> None:
    """Freeze the tower if the run asks for it; no gradients while nothing in it is trained, no picture twice."""
    frozen = os.environ.get(FROZEN_VARIABLE) == "1"
    for tower in vision_towers(model):
        if frozen:
            tower.requires_grad_(False)
        _skip_useless_gradients(tower, frozen)
        share_pictures(tower)


def _skip_useless_gradients(tower: Any, frozen: bool) -> None:
    import torch

    forward = tower.forward

    def compute(*args: Any, **named: Any) -> Any:
        # Looked at with every call: adapters come later, and may be put on the tower. (A frozen tower has none of them
        # trained.)
        trained = not frozen and any(parameter.requires_grad for parameter in tower.parameters())
        with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
            return forward(*args, **named)

    tower.forward = compute
