"""Puts sdbench's classes into OpenRLHF's modules, in the driver, before its entry takes them from there."""

from __future__ import annotations

import openrlhf.trainer.ppo_trainer
import openrlhf.trainer.ray.ppo_actor
import openrlhf.trainer.ray.vllm_engine
import ray

from sdbench.trainers.openrlhf.controller import ConditionPPOTrainer
from sdbench.trainers.openrlhf.engine import ConditionRolloutActor
from sdbench.trainers.openrlhf.worker import ConditionPolicyActor


def put_in() -> None:
    """Controller, policy workers and engines of this process's training become those of the task."""
    openrlhf.trainer.ppo_trainer.PPOTrainer = ray.remote(ConditionPPOTrainer)
    openrlhf.trainer.ray.ppo_actor.PolicyModelActor = ray.remote(num_gpus=1)(ConditionPolicyActor)
    openrlhf.trainer.ray.vllm_engine.RolloutRayActor = ray.remote(ConditionRolloutActor)
