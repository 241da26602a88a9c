"""A Ray of this machine's processors with pretended GPUs, for OpenRLHF without any."""

from __future__ import annotations

import os
from typing import Any

from sdbench.trainers.openrlhf.vllm_plugin import CPU_VARIABLE

ENVIRONMENT = {
    CPU_VARIABLE: "1",
    "DS_ACCELERATOR": "cpu",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
_OBJECT_STORE_BYTES = 512 << 20


def ray_options(*, gpus: int) -> dict[str, Any]:
    """What ``ray.init`` is told: as many pretended GPUs as the training asks for, and a processor for each of them."""
    return {
        "num_gpus": gpus,
        "num_cpus": gpus + 2,  # the controller and the grader
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "runtime_env": {
            "env_vars": ENVIRONMENT,
            "worker_process_setup_hook": "sdbench.trainers.openrlhf.cpu.process.prepare",
        },
    }


def prepare_driver() -> None:
    """The same for the process that starts it."""
    os.environ.update(ENVIRONMENT)
    from sdbench.trainers.openrlhf.cpu.process import prepare

    prepare()


def joining_options() -> dict[str, Any]:
    """What is told to a Ray that is there already: its resources are its own."""
    options = ray_options(gpus=0)
    return {"runtime_env": options["runtime_env"]}
