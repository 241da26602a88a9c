"""The user's own problems: JSONL or Parquet with the columns problem, answer and, if there is one, solution."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sdbench.tasks.errors import UserError
from sdbench.tasks.problem import Problem

TRAINING_TASK = "own_training"
_REQUIRED = ("problem", "answer")
_SUFFIXES = (".jsonl", ".parquet")


def read_training_data(path: Path) -> list[Problem]:
    """Every row as a problem, in the file's order; ids are hashes of the problem's text.

    A solution must stand in every row or in none. Other columns are left alone.

    Raises:
        UserError: names the file, the row by number, and what is wrong with it.
    """
    if path.suffix not in _SUFFIXES:
        raise UserError(f"--train-data {path} is neither .jsonl nor .parquet; convert it to one of them")
    if not path.is_file():
        raise UserError(f"--train-data {path} is no file; give a .jsonl or .parquet file")
    rows = _jsonl_rows(path) if path.suffix == ".jsonl" else _parquet_rows(path)
    problems: list[Problem] = []
    first_seen: dict[str, str] = {}
    solved_row: str | None = None
    for where, row in rows:
        problem = _problem(path, where, row)
        if problem.id in first_seen:
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
    return problems


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
            raise UserError(f"--train-data {path}: {where} has no {column!r}; its columns are {columns}")
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


def _jsonl_rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--train-data {path} cannot be read as UTF-8 text; give JSON lines") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except ValueError:
            raise UserError(f"--train-data {path}: line {number} is no JSON: {line.strip()[:40]!r}") from None


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException):
        raise UserError(f"--train-data {path} cannot be read as Parquet; write it anew") from None
    for column in _REQUIRED:
        if column not in table.column_names:
            raise UserError(
                f"--train-data {path} has no column {column!r}; its columns are {', '.join(table.column_names)}"
            )
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"row {number}", row
