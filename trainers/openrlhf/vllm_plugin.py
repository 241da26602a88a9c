"""vLLM calls this in every process it starts (entry point ``vllm.general_plugins``). It acts only where it is asked to.

On a machine with a GPU nothing is imported and nothing changed.
"""

from __future__ import annotations

import os

CPU_VARIABLE = "SDBENCH_OPENRLHF_CPU"
"""Set to ``1`` in the processes of a training that runs without a GPU."""


def register() -> None:
    """Prepare this process of vLLM for weight updates on a CPU, where a training runs on one."""
    if os.environ.get(CPU_VARIABLE) == "1":
        from sdbench.trainers.openrlhf.cpu.engine_worker import prepare

        prepare()
