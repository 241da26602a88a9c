"""``tuning.json``: a whole sweep of learning rates, what it cost and what it chose. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdbench.leaderboards.tuning import (
    RateGrid,
    RateScore,
    TuningCell,
    best_rate,
    lies_at_edge,
    next_rate,
    rate_scores,
    rule_in_words,
)
from sdbench.leaderboards.validation import ValidationScore
from sdbench.tasks.errors import UserError

FORMAT_VERSION: Final = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GridRecord(_Strict):
    """The grid that the sweep began with, its bounds and the training seeds."""

    start: tuple[float, ...] = Field(min_length=1)
    lowest: float
    highest: float
    seeds: tuple[int, ...] = Field(min_length=2)

    def grid(self) -> RateGrid:
        """The same as the rule takes it."""
        return RateGrid(start=self.start, lowest=self.lowest, highest=self.highest)


class ValidationRecord(_Strict):
    """What the cells were scored on: problems of each stratum, samples per problem, and a hash of all of them."""

    problems: dict[str, int]
    k: int
    sampling: dict[str, float | int]
    data_lock: str


class Choice(_Strict):
    """What was chosen for one condition.

    Attributes:
        learning_rate: None where no rate could be scored.
        at_edge: whether the best rate lies at a bound that the grid may not pass.
    """

    learning_rate: float | None
    macro: float | None
    at_edge: bool


class Cost(_Strict):
    """What a sweep, or one condition's part of it, spent. Teacher tokens of trainings that did not end are missing."""

    trainings: int
    rollouts: int
    student_tokens: int
    teacher_tokens: int
    validation_samples: int
    validation_tokens: int


class TuningFile(_Strict):
    """A sweep that is complete for the conditions that it names.

    Attributes:
        recipe: the recipe's name.
        base_digest: hash of the model that was trained.
        base: that model's own score, without training.
        rule: how the rates were chosen, in words.
        conditions: each condition's settings but for its learning rate, as they were tuned.
        choices: what follows from the cells by the rule; checked on reading.
    """

    format_version: Literal[1] = FORMAT_VERSION
    recipe: str
    base_digest: str
    rule: str
    grid: GridRecord
    validation: ValidationRecord
    base: ValidationScore
    conditions: dict[str, dict[str, Any]]
    choices: dict[str, Choice]
    cost: Cost
    cells: tuple[TuningCell, ...]

    def scores(self, condition: str) -> list[RateScore]:
        """One condition's rates, ascending."""
        return rate_scores(cell for cell in self.cells if cell.condition == condition)

    def cost_of(self, condition: str) -> Cost:
        """What one condition's part spent."""
        return cost_of(cell for cell in self.cells if cell.condition == condition)


def build_tuning(
    *,
    recipe: str,
    base_digest: str,
    grid: GridRecord,
    validation: ValidationRecord,
    base: ValidationScore,
    conditions: Mapping[str, dict[str, Any]],
    cells: Sequence[TuningCell],
) -> TuningFile:
    """The file of a sweep, its choices made by the rule. The same cells give the same file.

    Raises:
        ValueError: a condition's sweep is not complete, or a cell's condition is not named.
    """
    order = list(conditions)
    ordered = sorted(cells, key=lambda cell: (order.index(cell.condition), cell.learning_rate, cell.seed))
    choices = {name: _choice(name, ordered, grid) for name in order}
    return TuningFile(
        recipe=recipe,
        base_digest=base_digest,
        rule=rule_in_words(grid.grid(), seeds=grid.seeds),
        grid=grid,
        validation=validation,
        base=base,
        conditions=dict(conditions),
        choices=choices,
        cost=cost_of(ordered),
        cells=tuple(ordered),
    )


def cost_of(cells: Iterable[TuningCell]) -> Cost:
    """The sum over cells."""
    listed = list(cells)
    scores = [cell.validation for cell in listed if cell.validation is not None]
    return Cost(
        trainings=len(listed),
        rollouts=sum(cell.rollouts for cell in listed),
        student_tokens=sum(cell.student_tokens for cell in listed),
        teacher_tokens=sum(cell.teacher_tokens or 0 for cell in listed),
        validation_samples=sum(score.samples for score in scores),
        validation_tokens=sum(score.completion_tokens for score in scores),
    )


def read_tuning(path: Path) -> TuningFile:
    """Read and check a tuning file.

    Raises:
        UserError: it cannot be read, has another format version, or its choices do not follow from its cells.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the tuning file {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise UserError(f"tuning file {path} is not JSON; write it anew with `sdbench tune`") from None
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise UserError(
            f"tuning file {path} has format version {version!r}, this sdbench reads {FORMAT_VERSION}; write it anew "
            "with `sdbench tune`"
        )
    try:
        tuning = TuningFile.model_validate_json(json.dumps(content))
        again = {name: _choice(name, tuning.cells, tuning.grid) for name in tuning.conditions}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"tuning file {path} is broken at {where}: {first['msg']}") from None
    except ValueError as error:
        raise UserError(f"tuning file {path} is broken: {error}") from None
    for name in {*again, *tuning.choices}:
        if again.get(name) != tuning.choices.get(name):
            raise UserError(
                f"tuning file {path}: the choice for {name!r} does not follow from its cells; write it anew with "
                "`sdbench tune`"
            )
    return tuning


def next_cells(cells: Sequence[TuningCell], grid: GridRecord) -> list[tuple[float, int]]:
    """The rates and seeds of one condition that are to be trained next; none where its sweep is complete.

    What they are follows from the cells alone, so a sweep that was killed goes on as it would have.
    """
    done = {(cell.learning_rate, cell.seed) for cell in cells}
    rates = sorted({*grid.start, *(cell.learning_rate for cell in cells)})
    missing = [(rate, seed) for rate in rates for seed in grid.seeds if (rate, seed) not in done]
    if missing:
        return missing
    following = next_rate(rate_scores(cells), grid.grid())
    return [] if following is None else [(following, seed) for seed in grid.seeds]


def _choice(condition: str, cells: Iterable[TuningCell], grid: GridRecord) -> Choice:
    own = [cell for cell in cells if cell.condition == condition]
    following = next_cells(own, grid)
    if following:
        rate, seed = following[0]
        raise ValueError(f"the sweep of condition {condition!r} is not complete: rate {rate:g}, seed {seed} is missing")
    strange = {cell.seed for cell in own} - set(grid.seeds)
    if strange:
        raise ValueError(f"condition {condition!r} has a cell of seed {min(strange)}, which is none of the sweep's")
    scores = rate_scores(own)
    best = best_rate(scores)
    macro = next((score.macro for score in scores if score.learning_rate == best), None)
    return Choice(learning_rate=best, macro=macro, at_edge=lies_at_edge(scores))
