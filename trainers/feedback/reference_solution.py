"""Reference solution: the worked solution that the data set has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sdbench.tasks.problem import Problem
from sdbench.trainers.feedback.reasons import NO_SOLUTION
from sdbench.trainers.feedback.registry import register_feedback
from sdbench.trainers.feedback.types import BuiltContext, Materials, Needs, PrivilegedContext, Reveals, Unbuilt
from sdbench.trainers.rollout import Rollout


@register_feedback("reference_solution")
@dataclass(frozen=True, kw_only=True)
class ReferenceSolution:
    """Show the teacher the data set's worked solution, whole and as it stands.

    It is right, but it may go another way than the solver went, and it is the same whatever the solver wrote
    (RefSol of arXiv 2606.11173).
    """

    needs: ClassVar[Needs] = Needs.SOLUTION

    @property
    def reveals(self) -> Reveals:
        """The solution, and with it the answer."""
        return Reveals.ANSWER | Reveals.SOLUTION

    def build(self, problem: Problem, rollout: Rollout, materials: Materials) -> BuiltContext:
        """The wrapped solution, or ``Unbuilt`` where the problem has none."""
        if problem.solution is None:
            return Unbuilt(NO_SOLUTION)
        return PrivilegedContext(materials.writer.reference(problem, problem.solution))
