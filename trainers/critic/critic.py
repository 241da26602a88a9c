"""What a critic is: attempts in, rewrites out, a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sdbench.tasks.problem import Problem
from sdbench.trainers.feedback.nano_contexts import Quote
from sdbench.trainers.feedback.types import PrivilegedContext, Unbuilt
from sdbench.trainers.rollout import Rollout


class Critic(Protocol):
    """Rewrites attempts after the rules of the faithful scribe."""

    @property
    def name(self) -> str:
        """``symbolic``, and so on; recorded with every run."""
        ...

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Called before anything is trained.

        Raises:
            UserError: the critic cannot judge attempts at one of these problems.
        """
        ...

    def critiques(self, pairs: Sequence[tuple[Problem, Rollout]], *, quote: Quote) -> list[PrivilegedContext | Unbuilt]:
        """The critique of each attempt, in order, as the finished text of a context."""
        ...
