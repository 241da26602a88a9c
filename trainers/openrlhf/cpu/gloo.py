"""The group that carries weights from the trainer to the engines, over gloo instead of NCCL."""

from __future__ import annotations

from typing import Any

import torch


class GlooGroup:
    """A group of processes with no other group in common; answers to what OpenRLHF asks of vLLM's NCCL group."""

    def __init__(self, host: str, port: int, *, rank: int, world_size: int) -> None:
        from vllm.distributed.utils import (
            stateless_init_torch_distributed_process_group,
        )

        self._group: Any = stateless_init_torch_distributed_process_group(host, port, rank, world_size, backend="gloo")

    def broadcast(self, tensor: torch.Tensor, *, src: int, stream: object = None) -> None:
        """Send a tensor from rank ``src`` to all others, or receive it there; returns when it has arrived."""
        options = torch.distributed.BroadcastOptions()
        options.rootRank, options.rootTensor = src, 0
        self._group.broadcast([tensor], options).wait()
