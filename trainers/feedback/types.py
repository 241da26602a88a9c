"""What a feedback type is, what it may need, what it may reveal, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto
from typing import ClassVar, Literal, Protocol, runtime_checkable

from sdbench.tasks.problem import Problem
from sdbench.trainers.rollout import Rollout


class Needs(Flag):
    """Materials that the trainer prepares for a whole batch before any context is built.

    ``OTHER_PROBLEM`` together with ``CRITIQUE`` also asks for a critique of a rollout of that other problem.
    """

    NOTHING = 0
    PEERS = auto()
    SOLUTION = auto()
    CRITIQUE = auto()
    OTHER_PROBLEM = auto()
    ENVIRONMENT = auto()


class Reveals(Flag):
    """What a condition lets the learner know of the problem beyond its text. A leaderboard column."""

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


@dataclass(frozen=True, kw_only=True)
class TextSpan:
    """Characters ``[start, end)`` of a rollout's text: ``key`` reasoning, or the first ``error``."""

    start: int
    end: int
    kind: Literal["key", "error"]


@dataclass(frozen=True)
class PrivilegedContext:
    """The text that the teacher sees beside the problem.

    ``spans`` are the places of the rollout that the feedback points at, for objectives that treat these differently;
    empty where it found nothing to point at, None where it does not say.
    """

    text: str
    spans: tuple[TextSpan, ...] | None = None


@dataclass(frozen=True)
class NoContext:
    """By design there is no context: the condition has no distillation term."""


@dataclass(frozen=True)
class Unbuilt:
    """No context could be built. The rollout leaves the distillation term, counted under its reason."""

    reason: str


BuiltContext = PrivilegedContext | NoContext | Unbuilt


class ContextWriter(Protocol):
    """How contexts are written down: one writer a track, chosen with the prompt format, the same for all types."""

    @property
    def name(self) -> str:
        """``nano`` or ``text``."""
        ...

    @property
    def digest(self) -> str:
        """Hash of every form that this writer writes."""
        ...

    def note(self, problem: Problem) -> str:
        """A wrapper with nothing in it."""
        ...

    def reference(self, problem: Problem, solution: str) -> str:
        """A worked solution of the problem."""
        ...

    def critique(self, problem: Problem, rewrite: str) -> str:
        """A critic's rewrite of an attempt at the problem."""
        ...

    def peer(self, problem: Problem, attempt: str, *, right: bool) -> str:
        """Another attempt at the problem, with its verdict."""
        ...


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What was prepared for one rollout, as far as its feedback type's ``needs`` ask for it.

    Attributes:
        writer: writes context texts in the form that the run's prompt format calls for; always there.
        peers: the other rollouts of the same group.
        critique: the critic's rewrite of this rollout, or why there is none.
        other_problem: another problem of the same batch, never this one; None where the batch has none.
        other_critique: a critique of a rollout of ``other_problem``.
        environment_message: what an environment answered to this rollout.
    """

    writer: ContextWriter
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
