"""OpenRLHF's rollout engine, in the dtype of the training and without code from the model's folder."""

from __future__ import annotations

import os
from typing import Any

from openrlhf.trainer.ray import vllm_engine

from sdbench.trainers.openrlhf.process import this_task

_BATCHED_TOKENS = 2048


class ConditionRolloutActor(vllm_engine.RolloutRayActor.__ray_metadata__.modified_class):  # type: ignore[misc]
    """What upstream builds, with the settings that upstream fixes taken from the task."""

    async def __init__(self, *arguments: Any, **options: Any) -> None:  # type: ignore[misc]
        task = this_task()
        options |= {
            "dtype": task.settings.dtype,
            "trust_remote_code": False,
            "load_format": "safetensors",
            "generation_config": "vllm",
        }
        if task.on_cpu:
            # As in ``engines/vllm.py``: a CPU's seeded requests must be read whole.
            tokens = max(options["max_model_len"], _BATCHED_TOKENS)
            options |= {"enable_chunked_prefill": False, "max_num_batched_tokens": tokens}
        await super().__init__(*arguments, **options)

    def process_id(self) -> int:
        """Of this engine, for tests that kill it."""
        return os.getpid()
