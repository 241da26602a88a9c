"""Binary reward: no privileged context at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdbench.tasks.problem import Problem
from sdbench.trainers.feedback.registry import register_feedback
from sdbench.trainers.feedback.types import BuiltContext, Materials, Needs, NoContext, Reveals
from sdbench.trainers.rollout import Rollout


@register_feedback("binary_reward")
@dataclass(frozen=True, kw_only=True)
class BinaryReward:
    """Show no teacher anything: the learner hears only whether its answer was right.

    The reward goes into a policy-gradient objective such as ``grpo``; there is no distillation term.
    """

    needs: ClassVar[Needs] = Needs.NOTHING

    @property
    def reveals(self) -> Reveals:
        """The outcome, through the reward."""
        return Reveals.OUTCOME

    def build(self, problem: Problem, rollout: Rollout, materials: Materials) -> BuiltContext:
        """No context, by design."""
        return NoContext()
