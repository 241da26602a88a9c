"""A feedback type in a package of its own: the last step of the attempt, pasted."""

from dataclasses import dataclass
from typing import ClassVar

from sdbench.trainers.feedback.registry import register_feedback
from sdbench.trainers.feedback.types import Needs, PrivilegedContext, Reveals, Unbuilt


@register_feedback("last_step")
@dataclass(frozen=True, kw_only=True)
class LastStep:
    """Paste the last step of the attempt alone.

    An attempt without steps is left out.
    """

    needs: ClassVar[Needs] = Needs.NOTHING

    @property
    def reveals(self):
        return Reveals.NOTHING

    def build(self, problem, rollout, materials):
        steps = materials.writer.splitter.split(rollout.text)
        if not steps:
            return Unbuilt("the attempt has no steps")
        return PrivilegedContext(materials.writer.attempt(problem, steps[-1].text))
