"""The user's own problems: JSONL or Parquet with the columns problem, answer and, if there is one, solution.

GSM8K, MATH and OpenMathReasoning are read in their own columns. What stands in a benchmark is not trained on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdbench.tasks.data.files import read_rows
from sdbench.tasks.data.loading import at_hand, load_benchmark
from sdbench.tasks.data.overlap import OverlapMode, find_overlap, without_overlap
from sdbench.tasks.data.sources import SOURCES
from sdbench.tasks.data.training import Left, TrainingForm, training_form
from sdbench.tasks.errors import UserError
from sdbench.tasks.problem import Problem

TRAINING_TASK = "own_training"
_REQUIRED = ("problem", "answer")


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What may be trained on, and lines that say which rows of the file were left out."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def load_training_data(path: Path, *, overlap: OverlapMode, data_dir: Path | None = None) -> TrainingData:
    """The rows of a file without those that stand in a benchmark at hand.

    Args:
        path: the file.
        overlap: whether a file with such rows is refused, or they are left out.
        data_dir: the folder of the benchmarks; else ``SDBENCH_DATA_DIR``, else the user's cache.

    Raises:
        UserError: as ``read_training_data``; or rows stand in a benchmark and ``overlap`` is ``refuse``.
    """
    problems, left = _read(path)
    notes = [f"--train-data {path}: {count} rows left out: {reason}" for reason, count in left.items()]
    known = [name for name, found in at_hand(list(SOURCES), data_dir=data_dir).items() if found]
    benchmarks = {SOURCES[name].task: load_benchmark(name, data_dir=data_dir) for name in known}
    found = find_overlap(problems, benchmarks)
    kept, note = without_overlap(problems, found, mode=overlap, label=f"--train-data {path}")
    if not kept:
        raise UserError(f"--train-data {path}: every problem stands in a benchmark; give others")
    return TrainingData(problems=tuple(kept), notes=(*notes, *((note,) if note else ())))


def read_training_data(path: Path) -> list[Problem]:
    """Every row as a problem, in the file's order; ids are hashes of the problem's text.

    A solution must stand in every row or in none. Other columns are left alone.

    Raises:
        UserError: names the file, the row by number, and what is wrong with it.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Problem], Counter[str]]:
    """The problems, and how many rows of a published form were left out for which reason."""
    problems: list[Problem] = []
    left: Counter[str] = Counter()
    first_seen: dict[str, str] = {}
    solved_row: str | None = None
    form: TrainingForm | None = None
    for number, (where, row) in enumerate(read_rows(path, label=f"--train-data {path}")):
        if number == 0 and isinstance(row, dict):
            form = training_form(row)
        adapted = _adapted(path, where, row, form)
        if isinstance(adapted, Left):
            left[adapted.reason] += 1
            continue
        problem = _problem(path, where, adapted)
        if problem.id in first_seen:
            if form is not None and form.repeats:
                left["another solution of a problem above"] += 1
                continue
            raise UserError(f"--train-data {path}: {where} repeats the problem of {first_seen[problem.id]}; remove one")
        first_seen[problem.id] = where
        if problem.solution is not None and solved_row is None:
            solved_row = where
        problems.append(problem)
    if not problems:
        raise UserError(f"--train-data {path} holds no rows; give at least two problems")
    lacking = next((w for p, w in zip(problems, first_seen.values(), strict=True) if p.solution is None), None)
    if solved_row is not None and lacking is not None:
        raise UserError(f"--train-data {path}: {solved_row} has a solution and {lacking} has none; give all or none")
    return problems, left


def _adapted(path: Path, where: str, row: Any, form: TrainingForm | None) -> Any:
    """The row in one's own columns, or why it is left out."""
    if form is None or not isinstance(row, dict):
        return row
    lacking = next((column for column in form.columns if column not in row), None)
    if lacking is not None:
        raise UserError(f"--train-data {path}: {where} has no {lacking!r}, as {form.name} has; mend or remove the row")
    try:
        return form.adapt(row)
    except UserError as error:
        raise UserError(f"--train-data {path}: {where}: {error}") from None


def split_heldout(problems: Sequence[Problem], *, share: float, seed: int) -> tuple[list[Problem], list[Problem]]:
    """Training and held-out problems. Who is held out depends on seed and text alone, not on the file's order.

    At least one problem lands on either side.

    Raises:
        UserError: there are fewer than two problems.
    """
    if len(problems) < 2:
        raise UserError(f"{len(problems)} problem cannot be split into training and held-out ones; give at least two")
    count = min(len(problems) - 1, max(1, round(share * len(problems))))
    ranked = sorted(problems, key=lambda p: hashlib.sha256(f"heldout/{seed}/{p.id}".encode()).hexdigest())
    heldout_ids = {problem.id for problem in ranked[:count]}
    training = [problem for problem in problems if problem.id not in heldout_ids]
    return training, [problem for problem in problems if problem.id in heldout_ids]


def _problem(path: Path, where: str, row: Any) -> Problem:
    if not isinstance(row, dict):
        raise UserError(f"--train-data {path}: {where} is no object with the keys problem and answer")
    for column in _REQUIRED:
        if column not in row:
            columns = ", ".join(map(str, row)) or "none"
            raise UserError(f"--train-data {path}: {where} has no column {column!r}; its columns are {columns}")
    texts = {column: _text(path, where, column, row[column]) for column in _REQUIRED}
    solution = row.get("solution")
    return Problem(
        id=hashlib.sha256(texts["problem"].strip().encode()).hexdigest()[:16],
        text=texts["problem"],
        answer=texts["answer"],
        solution=None if solution is None else _text(path, where, "solution", solution),
        task=TRAINING_TASK,
    )


def _text(path: Path, where: str, column: str, value: Any) -> str:
    # Integer answers are common and unambiguous as text; a float is not (0.1 + 0.2).
    if isinstance(value, int) and not isinstance(value, bool) and column == "answer":
        return str(value)
    if not isinstance(value, str):
        raise UserError(f"--train-data {path}: {where}: {column} = {value!r} must be a string")
    if not value.strip():
        raise UserError(f"--train-data {path}: {where}: {column} is empty; fill it in or remove the row")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UserError(f"--train-data {path}: {where}: {column} holds half a surrogate pair; mend or remove the row")
    return value
