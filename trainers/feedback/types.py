"""What a feedback type is, what it may need, what it may reveal, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto
from typing import ClassVar, Protocol, runtime_checkable

from sdbench.tasks.problem import Problem
from sdbench.trainers.rollout import Rollout


class Needs(Flag):
    """Materials that the trainer prepares for a whole batch before any context is built."""

    NOTHING = 0
    PEERS = auto()
    SOLUTION = auto()
    CRITIQUE = auto()
    OTHER_PROBLEM = auto()
    ENVIRONMENT = auto()


class Reveals(Flag):
    """What a context lets the teacher know beyond the problem. A leaderboard column."""

    NOTHING = 0
    OUTCOME = auto()
    ANSWER = auto()
    SOLUTION = auto()
    PEER_ROLLOUT = auto()
    STEP_LABELS = auto()
    CORRECTED_STEPS = auto()

    @property
    def names(self) -> tuple[str, ...]:
        """The revealed things by name, lower case, in order of declaration."""
        return tuple(member.name.lower() for member in self if member.name)


@dataclass(frozen=True)
class PrivilegedContext:
    """The text that the teacher sees beside the problem."""

    text: str


@dataclass(frozen=True)
class NoContext:
    """By design there is no context: the condition has no distillation term."""


@dataclass(frozen=True)
class Unbuilt:
    """No context could be built. The rollout leaves the distillation term, counted under its reason."""

    reason: str


BuiltContext = PrivilegedContext | NoContext | Unbuilt


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What was prepared for one rollout, as far as its feedback type's ``needs`` ask for it.

    Attributes:
        peers: the other rollouts of the same group.
        critique: the critic's rewrite of this rollout, or why there is none.
        other_problem: a problem drawn from the same pool, never this one.
        other_critique: a critique of a rollout of ``other_problem``.
    """

    peers: tuple[Rollout, ...] = ()
    critique: PrivilegedContext | Unbuilt | None = None
    other_problem: Problem | None = None
    other_critique: PrivilegedContext | Unbuilt | None = None
    environment_message: str | None = None


@runtime_checkable
class FeedbackType(Protocol):
    """How the privileged context of one rollout is built. ``build`` is pure."""

    needs: ClassVar[Needs]

    @property
    def reveals(self) -> Reveals:
        """What the context reveals under these settings."""
        ...

    def build(self, problem: Problem, rollout: Rollout, materials: Materials) -> BuiltContext:
        """The context of one rollout."""
        ...
