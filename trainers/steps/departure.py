"""Where a rewrite departs from an attempt, step by step: what a critic holds to be the first error."""

from __future__ import annotations

from dataclasses import dataclass

from sdbench.trainers.steps.splitters import Step, StepSplitter


@dataclass(frozen=True, kw_only=True)
class Departure:
    """An attempt held against a rewrite of it.

    A piece is a step, or what stands behind the last step (the answer, say), where that is not blank.

    Attributes:
        attempt: the attempt's pieces.
        rewrite: the rewrite's pieces.
        kept: how many pieces from the first on are the same in both, white space apart.
        attempt_steps: how many of the attempt's pieces are steps.
    """

    attempt: tuple[Step, ...]
    rewrite: tuple[Step, ...]
    kept: int
    attempt_steps: int

    @property
    def agrees(self) -> bool:
        """Whether the rewrite says nothing else than the attempt."""
        return self.kept == len(self.attempt) == len(self.rewrite)

    @property
    def departed_from(self) -> Step | None:
        """The attempt's piece that the rewrite does not keep; None where it only goes on behind the attempt's end."""
        return self.attempt[self.kept] if self.kept < len(self.attempt) else None

    @property
    def mended(self) -> tuple[Step, ...]:
        """What the rewrite says from there on."""
        return self.rewrite[self.kept :]


def find_departure(attempt: str, rewrite: str, splitter: StepSplitter) -> Departure | None:
    """Hold a rewrite against the attempt; None where either has no steps."""
    attempt_steps, rewrite_steps = splitter.split(attempt), splitter.split(rewrite)
    if not attempt_steps or not rewrite_steps:
        return None
    ours, theirs = _with_rest(attempt, attempt_steps), _with_rest(rewrite, rewrite_steps)
    kept = 0
    for one, other in zip(ours, theirs, strict=False):
        if one.text.split() != other.text.split():
            break
        kept += 1
    return Departure(attempt=ours, rewrite=theirs, kept=kept, attempt_steps=len(attempt_steps))


def _with_rest(trace: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    end = steps[-1].end
    rest = trace[end:]
    if not rest.strip():
        return steps
    start = end + len(rest) - len(rest.lstrip())
    return (*steps, Step(rest.strip(), start, start + len(rest.strip())))
