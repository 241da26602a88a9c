"""Grading a file of (gold, prediction) pairs."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from sdbench.tasks.errors import UserError
from sdbench.tasks.grading.verdict import GradeItem, Grader, VerdictName

KINDS = ("text", "answer")


def grade_file(in_path: Path, out_path: Path, grader: Grader) -> Counter[VerdictName]:
    """Grade JSON lines ``{"gold", "prediction", "kind": "text"|"answer"}``.

    Every line is checked before any is graded. The output keeps order and keys, and adds ``verdict``, ``rule``,
    ``extracted``; it replaces ``out_path`` as a whole or not at all. Empty lines are passed over.

    Returns:
        How often each verdict was given.

    Raises:
        UserError: the input cannot be read, a line is broken (named by its number), or the output cannot be written.
    """
    if not out_path.parent.is_dir():
        raise UserError(f"--out {out_path}: the folder {out_path.parent} does not exist; create it first")
    if out_path.is_dir():
        raise UserError(f"--out {out_path} is a folder; name a file")
    rows = _read_rows(in_path)
    verdicts = grader.grade(
        [GradeItem(gold=row["gold"], prediction=row["prediction"], kind=row["kind"]) for row in rows]
    )
    lines = [
        json.dumps({**row, "verdict": verdict.verdict, "rule": verdict.rule, "extracted": verdict.extracted})
        for row, verdict in zip(rows, verdicts, strict=True)
    ]
    _write_atomically(out_path, "".join(line + "\n" for line in lines))
    return Counter(verdict.verdict for verdict in verdicts)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name a file of JSON lines") from None
    # Only line feeds end a line: JSON strings may hold the other separators that str.splitlines knows.
    return [
        _read_row(line, f"{path} line {number}") for number, line in enumerate(data.split(b"\n"), 1) if line.strip()
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


def _write_atomically(path: Path, text: str) -> None:
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another --out") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
