"""Prepares a process of OpenRLHF, driver or Ray worker, for a machine without a GPU."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from sdbench.trainers.openrlhf.cpu.after_import import after_import


class _Cpu(str):
    """What ``torch.cuda.current_device()`` answers: a device for ``tensor.to``, a number where it names one."""

    def __format__(self, spec: str) -> str:
        return "0"


_CPU = _Cpu("cpu")


def prepare() -> None:
    """Ray's ``worker_process_setup_hook``; the driver calls it itself. Imports nothing heavy."""
    # flash-attn's Python part imports its compiled one by name; nothing here calls into it.
    sys.modules.setdefault("flash_attn_2_cuda", ModuleType("flash_attn_2_cuda"))
    # Where triton is installed (xgrammar brings it), its CUDA cross entropy would be taken: models/utils.py.
    sys.modules["flash_attn.ops.triton.cross_entropy"] = None  # type: ignore[assignment]
    after_import("torch", _answer_for_cuda)
    after_import("openrlhf.utils.distributed_util", _carry_weights_over_gloo)
    after_import("openrlhf.utils.deepspeed.deepspeed", _use_a_cpu_mesh_and_torch_adam)
    after_import("deepspeed.ops.op_builder.cpu.comm", _compile_nothing)


def _answer_for_cuda(torch: Any) -> None:
    torch.cuda.current_device = lambda: _CPU
    torch.cuda.set_device = lambda device: None
    torch.cuda.synchronize = lambda device=None: None
    torch.cuda.current_stream = lambda device=None: None


def _carry_weights_over_gloo(distributed_util: Any) -> None:
    from sdbench.trainers.openrlhf.cpu.gloo import GlooGroup

    def stateless_init_process_group(
        master_address: str, master_port: int, rank: int, world_size: int, device: object
    ) -> GlooGroup:
        return GlooGroup(master_address, master_port, rank=rank, world_size=world_size)

    distributed_util.stateless_init_process_group = stateless_init_process_group


def _use_a_cpu_mesh_and_torch_adam(module: Any) -> None:
    init_device_mesh, strategy = module.init_device_mesh, module.DeepspeedStrategy
    configure = strategy.get_ds_train_config

    def get_ds_train_config(self: Any, optim_dict: Any = None, **options: Any) -> Any:
        if optim_dict is not None and optim_dict["type"] == "AdamW":
            optim_dict = {**optim_dict, "params": {**optim_dict["params"], "torch_adam": True}}
        return configure(self, optim_dict, **options)

    module.init_device_mesh = lambda device_type, *rest, **options: init_device_mesh("cpu", *rest, **options)
    strategy.get_ds_train_config = get_ds_train_config


def _compile_nothing(comm: Any) -> None:
    # Its kernel would be compiled for over a minute in every process; gloo does the same work.
    for builder in vars(comm).values():
        if isinstance(builder, type) and getattr(builder, "NAME", None) in ("deepspeed_shm_comm", "deepspeed_ccl_comm"):
            builder.is_compatible = lambda self, verbose=False: False  # type: ignore[attr-defined]
