"""Starting Ray, or joining one, and making sure at once that it has what a training will ask for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import ray

from sdbench.tasks.errors import UserError
from sdbench.trainers.engines.openai import KEY_VARIABLE
from sdbench.trainers.openrlhf.process import TASK_VARIABLE
from sdbench.trainers.openrlhf.task import TrainingTask

# Upstream's own defaults for its workers.
_UPSTREAM_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "true",
    "NCCL_DEBUG": "WARN",
    "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "1",
}
_PASSED_ON = (TASK_VARIABLE, KEY_VARIABLE, "WANDB_API_KEY")


def start_ray(*, gpus: int, on_cpu: bool, address: str | None = None) -> None:
    """Start Ray, or join the one at an address.

    Args:
        gpus: what will be asked of it, and as many processors.
        on_cpu: pretend GPUs and prepare every worker for a machine without any.
        address: of a cluster that is there; None starts one on this machine.

    Raises:
        UserError: there is no cluster at the address, or it has too few GPUs or processors. Upstream would wait for
            them without end and without a word.
    """
    environment = {name: os.environ.get(name, value) for name, value in _UPSTREAM_ENVIRONMENT.items()}
    environment |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    options: dict[str, Any] = {"runtime_env": {"env_vars": environment}}
    if on_cpu:
        from sdbench.trainers.openrlhf.cpu.ray_start import joining_options, ray_options

        options = ray_options(gpus=gpus) if address is None else joining_options()
        options["runtime_env"]["env_vars"] = {**environment, **options["runtime_env"]["env_vars"]}
    # Without an address Ray would join whatever cluster it finds on this machine.
    options["address"] = address or "local"
    try:
        ray.init(**options)
    except (ConnectionError, ValueError) as error:
        if address is None:
            raise
        raise UserError(
            f"--ray-address {address!r}: no Ray cluster answers there ({' '.join(str(error).split())[:120]}); "
            "start one, or leave it out"
        ) from error
    _check_resources(ray.cluster_resources(), gpus=gpus)


def gpus_of(task: TrainingTask) -> int:
    """How many GPUs a task's training asks Ray for, a critic's own engine among them."""
    own_critic = task.critic is not None and task.critic.settings.get("engine") == "vllm"
    return task.cluster.gpus + own_critic


def gpus_of_flags(arguments: Mapping[str, Any]) -> int:
    """How many GPUs upstream will ask Ray for with these flags, by their dotted names."""
    ranks = arguments["actor.num_nodes"] * arguments["actor.num_gpus_per_node"]
    engines = (arguments["vllm.num_engines"] or 0) * arguments["vllm.tensor_parallel_size"]
    needed = ranks if arguments["train.colocate_all"] and not arguments["train.async_enable"] else ranks + engines
    colocated = arguments["train.colocate_all"] or arguments["train.colocate_actor_ref"]
    if arguments["algo.kl.init_coef"] > 0 and not colocated:
        needed += arguments["ref.num_nodes"] * arguments["ref.num_gpus_per_node"]
    return int(needed)


def _check_resources(held: Mapping[str, float], *, gpus: int) -> None:
    for name, shown in (("GPU", "GPUs"), ("CPU", "processors")):
        there = int(held.get(name, 0))
        if there < gpus:
            raise UserError(
                f"this training asks Ray for {gpus} {shown}, and the cluster has {there}: lower nodes, gpus_per_node, "
                "engines or gpus_per_engine of [training.openrlhf], set colocate = true, or give --ray-address of a "
                "larger cluster"
            )
