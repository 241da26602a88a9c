"""Choosing a learning rate: one rule for every condition, on validation problems. Pure; loads no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sdbench.leaderboards.validation import ValidationScore

# Means that differ by less than this are one value computed in two orders.
_TIE = 1e-9
CellStatus = Literal["scored", "diverged", "stopped", "ungraded"]


class TuningCell(BaseModel):
    """One training of the sweep: a condition at a learning rate with one training seed.

    Attributes:
        status: ``scored``; ``diverged`` (loss or gradient became infinite or NaN); ``stopped`` (too few rollouts had a
            context to learn from); ``ungraded`` (trained, but too many samples could not be judged).
        reason: what ended it, where it is not scored.
        steps: finished training steps.
        rollouts: completions drawn in training.
        student_tokens: of those.
        teacher_tokens: tokens that the teacher read; None where the training did not get to say.
        validation: the score, None unless the training ended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    condition: str
    learning_rate: float = Field(gt=0)
    seed: int
    status: CellStatus
    reason: str | None = None
    steps: int
    rollouts: int
    student_tokens: int
    teacher_tokens: int | None
    validation: ValidationScore | None

    @model_validator(mode="after")
    def _score_goes_with_status(self) -> Self:
        scored = self.validation is not None and self.validation.macro is not None
        if scored != (self.status == "scored"):
            raise ValueError(f"a cell that is {self.status!r} cannot have the validation score {self.validation!r}")
        return self

    @property
    def macro(self) -> float | None:
        """Macro accuracy on validation problems, None unless scored."""
        return None if self.validation is None else self.validation.macro


@dataclass(frozen=True, kw_only=True)
class RateGrid:
    """The rates that every condition begins with, and how far the grid may be extended."""

    start: tuple[float, ...]
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class RateScore:
    """One condition at one rate.

    Attributes:
        macro: mean over the seeds; None where any of them is not scored, so that a rate is never judged by the seeds
            that survived it.
    """

    learning_rate: float
    cells: tuple[TuningCell, ...]
    macro: float | None

    def group(self, name: str) -> float | None:
        """Mean over the seeds of one group of strata, None as for the macro."""
        scores = [cell.validation for cell in self.cells]
        values = [None if score is None else score.groups.get(name) for score in scores]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None


def is_half_decade(rate: float) -> bool:
    """Whether a rate is 1 or 3 times a power of ten."""
    return rate > 0 and any(math.isclose(rate, value, rel_tol=1e-9) for value in _near(rate))


def half_decade_step(rate: float, *, up: bool) -> float:
    """The next value of the grid 1, 3, 10, 30, ... times a power of ten.

    Raises:
        ValueError: ``rate`` is not on that grid.
    """
    if not is_half_decade(rate):
        raise ValueError(f"{rate:g} is not 1 or 3 times a power of ten")
    values = _near(rate)
    index = next(i for i, value in enumerate(values) if math.isclose(rate, value, rel_tol=1e-9))
    return values[index + (1 if up else -1)]


def rate_scores(cells: Iterable[TuningCell]) -> list[RateScore]:
    """One condition's cells by rate, ascending.

    Raises:
        ValueError: cells of several conditions, a cell that stands there twice, or rates with other seeds.
    """
    by_rate: dict[float, dict[int, TuningCell]] = {}
    names: set[str] = set()
    for cell in cells:
        names.add(cell.condition)
        seeds = by_rate.setdefault(cell.learning_rate, {})
        if cell.seed in seeds:
            raise ValueError(f"seed {cell.seed} stands twice at rate {cell.learning_rate:g}")
        seeds[cell.seed] = cell
    if len(names) > 1:
        raise ValueError(f"cells of several conditions: {', '.join(sorted(names))}")
    if len({frozenset(seeds) for seeds in by_rate.values()}) > 1:
        raise ValueError("the rates were not all trained with the same seeds")
    scores = []
    for rate in sorted(by_rate):
        ordered = tuple(by_rate[rate][seed] for seed in sorted(by_rate[rate]))
        macros = [cell.macro for cell in ordered if cell.macro is not None]
        macro = fmean(macros) if len(macros) == len(ordered) else None
        scores.append(RateScore(learning_rate=rate, cells=ordered, macro=macro))
    return scores


def best_rate(scores: Sequence[RateScore]) -> float | None:
    """The rate with the highest mean macro, the smaller one of equals; None where no rate has one."""
    known = [(score.macro, score.learning_rate) for score in scores if score.macro is not None]
    if not known:
        return None
    highest = max(macro for macro, _ in known)
    return min(rate for macro, rate in known if macro >= highest - _TIE)


def next_rate(scores: Sequence[RateScore], grid: RateGrid) -> float | None:
    """The rate to be tried next: a neighbour of the best where that lies at an edge, as far as the bounds allow.

    Where no rate could be scored, the next smaller one. None where the sweep of this condition is complete.
    """
    tried = [score.learning_rate for score in scores]
    best = best_rate(scores)
    below = half_decade_step(min(tried), up=False)
    above = half_decade_step(max(tried), up=True)
    if (best is None or best == min(tried)) and _at_least(below, grid.lowest):
        return below
    if best == max(tried) and _at_least(grid.highest, above):
        return above
    return None


def lies_at_edge(scores: Sequence[RateScore]) -> bool:
    """Whether the best rate has no tried neighbour on one side: in a complete sweep, a bound stopped the grid there."""
    tried = [score.learning_rate for score in scores]
    return best_rate(scores) in (min(tried), max(tried))


def rule_in_words(grid: RateGrid, *, seeds: Sequence[int]) -> str:
    """The rule that ``next_rate`` and ``best_rate`` follow, for people."""
    rates = ", ".join(f"{rate:g}" for rate in grid.start)
    return (
        f"Every condition is trained at the learning rates {rates} with the training seeds "
        f"{', '.join(map(str, seeds))}, none of which is reported. Each checkpoint is scored on validation problems; a "
        "rate's value is the macro accuracy over their strata, averaged over the seeds. The highest value decides; of "
        "equal ones the smaller rate. Where the best rate lies at an edge of those tried, the next half decade is "
        f"tried as well, down to {grid.lowest:g} and up to {grid.highest:g}. A rate at which any seed diverged, was "
        "stopped or could not be graded is out. No benchmark problem is sampled."
    )


def _at_least(value: float, bound: float) -> bool:
    return value > bound or math.isclose(value, bound, rel_tol=1e-9)


def _near(rate: float) -> list[float]:
    """The grid around a rate, each value the float nearest to its decimal form."""
    exponent = math.floor(math.log10(rate))
    return [float(f"{digit}e{power}") for power in range(exponent - 1, exponent + 3) for digit in (1, 3)]
