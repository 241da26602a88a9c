"""The weights of a policy as a checkpoint of the bare model would hold them: what another engine is updated with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_BASE = ".base_layer"


@torch.no_grad()
def plain_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors, one at a time; LoRA adapters are added to the weights they lie on, which stay as they are.

    A tensor that stands under two names (tied embeddings) comes once, under its first. Sums of a weight and its
    adapter are float32 whatever the two are.

    Args:
        model: a causal LM of transformers, bare or under peft's LoRA.

    Raises:
        ValueError: adapters that are no plain LoRA.
    """
    adapted = hasattr(model, "get_base_model")
    bare = model.get_base_model() if adapted else model
    layers = _adapted_layers(bare) if adapted else {}
    seen: set[int] = set()
    for name, value in bare.state_dict(keep_vars=True).items():
        if "modules_to_save" in name or "lora_magnitude" in name:
            raise ValueError(f"{name}: only plain LoRA adapters can be added to weights on the way")
        if ".lora_" in name or id(value) in seen:
            continue
        seen.add(id(value))
        owner, _, parameter = name.rpartition(".")
        layer = layers.get(owner.removesuffix(_BASE)) if owner.endswith(_BASE) else None
        tensor = value.detach()
        if layer is not None and parameter == "weight":
            tensor = tensor.float()
            for adapter in layer.active_adapters:
                tensor = tensor + layer.get_delta_weight(adapter).float()
        yield name.replace(f"{_BASE}.", "."), tensor


def _adapted_layers(bare: Any) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in bare.named_modules() if isinstance(module, LoraLayer)}
