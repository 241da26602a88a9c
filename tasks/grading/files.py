"""Grading a file of (gold, prediction) pairs."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from sdbench.tasks.errors import UserError
from sdbench.tasks.grading.verdict import GradeItem, Grader, VerdictName

KINDS = ("text", "answer")


class SecondOpinion(Protocol):
    """Knows what math-verify alone says."""

    def math_verify_opinions(self, items: Sequence[GradeItem]) -> list[VerdictName | None]:
        """Its verdict of each item, in order; None where there is nothing to compare."""
        ...


def grade_file(in_path: Path, out_path: Path, grader: Grader) -> Counter[VerdictName]:
    """Grade JSON lines ``{"gold", "prediction", "kind": "text"|"answer"}``.

    Every line is checked before any is graded. The output keeps order and keys, and adds ``verdict``, ``rule``,
    ``extracted``; it replaces ``out_path`` as a whole or not at all. Empty lines are passed over.

    Returns:
        How often each verdict was given.

    Raises:
        UserError: the input cannot be read, a line is broken (named by its number), or the output cannot be written.
    """
    _check_output(out_path, "--out")
    rows = [row for _, row in _read_rows(in_path)]
    verdicts = grader.grade([_item(row) for row in rows])
    _write_atomically(
        out_path,
        [
            {**row, "verdict": verdict.verdict, "rule": verdict.rule, "extracted": verdict.extracted}
            for row, verdict in zip(rows, verdicts, strict=True)
        ],
        "--out",
    )
    return Counter(verdict.verdict for verdict in verdicts)


def list_disagreements(in_path: Path, list_path: Path, grader: Grader, opinion: SecondOpinion) -> int:
    """Write the lines of a file on which math-verify alone says something else of the answers that were read.

    A line of the list is ``{"line", "gold", "prediction", "kind", "verdict", "rule", "extracted", "math_verify"}``, the
    first the number of the line in the input.

    Returns:
        How many there are.

    Raises:
        UserError: as ``grade_file``.
    """
    _check_output(list_path, "--disagreements")
    rows = _read_rows(in_path)
    items = [_item(row) for _, row in rows]
    verdicts, opinions = grader.grade(items), opinion.math_verify_opinions(items)
    different = [
        {
            "line": number,
            **{key: row[key] for key in ("gold", "prediction", "kind")},
            "verdict": verdict.verdict,
            "rule": verdict.rule,
            "extracted": verdict.extracted,
            "math_verify": second,
        }
        for (number, row), verdict, second in zip(rows, verdicts, opinions, strict=True)
        if second is not None and second != verdict.verdict
    ]
    _write_atomically(list_path, different, "--disagreements")
    return len(different)


def _check_output(path: Path, option: str) -> None:
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder; name a file")


def _item(row: dict[str, Any]) -> GradeItem:
    return GradeItem(gold=row["gold"], prediction=row["prediction"], kind=row["kind"])


def _read_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Each row with the number of its line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name a file of JSON lines") from None
    # Only line feeds end a line: JSON strings may hold the other separators that str.splitlines knows.
    return [
        (number, _read_row(line, f"{path} line {number}"))
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.strip()
    ]


def _read_row(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not JSON ({str(error) or 'nested too deeply'}); mend or remove it") from None
    if not isinstance(row, dict):
        raise UserError(f'{place} is no JSON object; write {{"gold": ..., "prediction": ..., "kind": "text"}}')
    for key in ("gold", "prediction", "kind"):
        if key not in row:
            raise UserError(f"{place} has no {key!r}; every line needs 'gold', 'prediction' and 'kind'")
        if not isinstance(row[key], str):
            raise UserError(f"{place}: {key!r} is {json.dumps(row[key])[:40]}; it must be a string")
    if row["kind"] not in KINDS:
        raise UserError(f"{place}: kind {row['kind'][:40]!r} is unknown; write 'text' or 'answer'")
    return row


def _write_atomically(path: Path, rows: Sequence[dict[str, Any]], option: str) -> None:
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another {option}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
