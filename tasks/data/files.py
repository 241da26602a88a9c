"""Rows of JSON lines and Parquet files, each with where it stands, so that an error can name it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdbench.tasks.errors import UserError

SUFFIXES = (".jsonl", ".parquet")


def read_rows(path: Path, *, label: str) -> Iterator[tuple[str, Any]]:
    """The rows of a file, each with its place (``line 3``, ``row 3``).

    ``datasets`` would read both, but names no line of a broken file.

    Args:
        path: ``.jsonl`` or ``.parquet``.
        label: what an error calls the file.

    Raises:
        UserError: the file is of another kind, cannot be read, or has a line that is no JSON.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{label} is neither .jsonl nor .parquet; convert it to one of them")
    if not path.is_file():
        raise UserError(f"{label} is no file; give a .jsonl or .parquet file")
    return _jsonl_rows(path, label) if path.suffix == ".jsonl" else _parquet_rows(path, label)


def _jsonl_rows(path: Path, label: str) -> Iterator[tuple[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{label} cannot be read as UTF-8 text; give JSON lines") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{label}: line {number} is no JSON: {line.strip()[:40]!r}") from None


def _parquet_rows(path: Path, label: str) -> Iterator[tuple[str, Any]]:
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException):
        raise UserError(f"{label} cannot be read as Parquet; write it anew") from None
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row
