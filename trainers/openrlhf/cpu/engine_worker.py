"""What vLLM's own worker needs on a CPU to take new weights; vLLM starts it, so Ray's hook never reaches it."""

from __future__ import annotations

from typing import Any

import torch
from openrlhf.trainer.ray import vllm_worker_wrap

from sdbench.trainers.openrlhf.cpu.gloo import GlooGroup


class CpuWorkerWrap(vllm_worker_wrap.WorkerWrap):  # type: ignore[misc]
    """OpenRLHF's extension of the worker, with gloo in the place of NCCL and main memory in that of the GPU's."""

    def init_process_group(
        self,
        master_address: str,
        master_port: int,
        rank_offset: int,
        world_size: int,
        group_name: str,
        backend: str = "gloo",
        use_ray: bool = False,
    ) -> None:
        """Join the trainer's group."""
        if use_ray:
            raise ValueError("--vllm.sync_with_ray needs GPUs: Ray's gloo group cannot be made beside another group")
        rank = torch.distributed.get_rank() + rank_offset
        self._group = GlooGroup(master_address, master_port, rank=rank, world_size=world_size)

    def update_weight(self, name: str, dtype: torch.dtype, shape: Any, empty_cache: bool = False) -> None:
        """Receive one weight and put it in its place."""
        if dtype != self.model_config.dtype:
            raise ValueError(f"{name} comes as {dtype}, the engine holds {self.model_config.dtype}")
        weight = torch.empty(tuple(shape), dtype=dtype)
        self._group.broadcast(weight, src=0)
        self.model_runner.model.load_weights(weights=[(name, weight)])


def prepare() -> None:
    """What must hold before vLLM loads a model; called through vLLM's plug-in hook in each of its processes."""
    from vllm.model_executor.layers import utils
    from vllm.platforms.cpu import CpuPlatform

    def plain_linear(layer: Any, remove_weight: bool) -> None:
        # vLLM would pack the weights and drop the originals, and weights that come later would change nothing.
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = plain_linear
    # Upstream names its class to the engine, and vLLM looks it up by that name.
    vllm_worker_wrap.WorkerWrap = CpuWorkerWrap
    # A colocated engine is told to sleep; the CPU's worker hears it and keeps its memory.
    CpuPlatform.is_sleep_mode_available = lambda self: True
