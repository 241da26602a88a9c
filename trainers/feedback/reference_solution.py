"""Reference solution: the worked solution that the data set has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from sdbench.tasks.problem import Problem
from sdbench.trainers.feedback.reasons import NO_SOLUTION
from sdbench.trainers.feedback.registry import register_feedback
from sdbench.trainers.feedback.types import (
    BuiltContext,
    Materials,
    Needs,
    NotationChoice,
    PathChoice,
    PrivilegedContext,
    Reveals,
    Unbuilt,
)
from sdbench.trainers.rollout import Rollout


@register_feedback("reference_solution")
@dataclass(frozen=True, kw_only=True)
class ReferenceSolution:
    """Show the teacher the data set's worked solution, whole and as it stands.

    It is right, but it may go another way than the solver went, and it is the same whatever the solver wrote
    (RefSol of arXiv 2606.11173). ``fraction``: below 1 only the first steps are shown, at least one and never all.
    ``path`` and ``notation`` choose among the four forms of a nano solution: on the procedure of the rollout (``own``)
    or on the ``other`` one, in the ``solver``'s notation or in ``words``; on problems in plain language they cannot be
    chosen. A problem without a solution is left out, and one whose solution cannot be cut or read for that.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    path: PathChoice = "data"
    notation: NotationChoice = "data"
    needs: ClassVar[Needs] = Needs.SOLUTION

    @property
    def reveals(self) -> Reveals:
        """The solution, and with it the answer; or the solution's beginning."""
        return Reveals.ANSWER | Reveals.SOLUTION if self.fraction == 1 else Reveals.SOLUTION_START

    def build(self, problem: Problem, rollout: Rollout, materials: Materials) -> BuiltContext:
        """The wrapped solution or its beginning, or why there is none."""
        writer, solution = materials.writer, problem.solution
        if solution is None:
            return Unbuilt(NO_SOLUTION)
        if (self.path, self.notation) != ("data", "data"):
            chosen = writer.solutions.along(problem, rollout, path=self.path, notation=self.notation)
            if isinstance(chosen, Unbuilt):
                return chosen
            solution = chosen
        if self.fraction == 1:
            return PrivilegedContext(writer.reference(problem, solution))
        start = writer.solutions.start(replace(problem, solution=solution), self.fraction)
        if isinstance(start, Unbuilt):
            return start
        return PrivilegedContext(writer.reference_start(problem, start))
