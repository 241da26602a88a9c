"""Verdicts: what a grader says, and what that makes of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sdbench.tasks.outcome import FinishReason, Outcome

VerdictName = Literal["correct", "wrong", "no_answer", "ungraded"]
PredictionKind = Literal["text", "answer"]


@dataclass(frozen=True, kw_only=True)
class GradeItem:
    """A gold answer and a prediction: a whole completion (``text``) or the bare answer (``answer``).

    Attributes:
        gold, prediction, kind: as said.
        relative_tolerance: how far a decimal may be off, relative to the gold, where the data set says so; without it
            decimals are exact, but for one that stands for a value which never ends: that is right to one in a million.
    """

    gold: str
    prediction: str
    kind: PredictionKind = "text"
    relative_tolerance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A verdict and how it came about.

    Attributes:
        verdict: the verdict.
        rule: the rule that decided it.
        extracted: the answer that was read, normalised, if any.
        written: the same as it stood in the prediction, cut where it is very long.
        source: where it stood: ``box``, ``hash``, ``phrase``, ``conclusion`` or ``whole``.
    """

    verdict: VerdictName
    rule: str
    extracted: str | None = None
    written: str | None = None
    source: str | None = None


class Grader(Protocol):
    """Grades in bulk; safe to call from any thread."""

    def grade(self, items: Sequence[GradeItem]) -> list[Verdict]:
        """One verdict an item, in order."""
        ...


def outcome_of(verdict: Verdict, finish_reason: FinishReason | None) -> Outcome:
    """The outcome of a sample. Plain lm_eval knows no finish reason (None): nothing is ``TRUNCATED`` there."""
    if finish_reason is FinishReason.UNFIT:
        return Outcome.UNFIT
    if finish_reason is FinishReason.LENGTH and verdict.verdict == "no_answer":
        return Outcome.TRUNCATED
    return Outcome(verdict.verdict)
