"""Rows of JSON lines and Parquet files, each with where it stands, so that an error can name it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdbench.tasks.errors import UserError

SUFFIXES = (".jsonl", ".parquet")
# A small file can unpack to any size. The largest published set that is trained on, OpenMathReasoning, has parts of
# about 1 GiB unpacked.
MOST_BYTES = 4 << 30
_BATCH_ROWS = 64
_MOST_BATCH_BYTES = 1 << 30


def read_rows(path: Path, *, label: str) -> Iterator[tuple[str, Any]]:
    """The rows of a file, each with its place (``line 3``, ``row 3``).

    ``datasets`` would read both, but names no line of a broken file.

    Args:
        path: ``.jsonl`` or ``.parquet``.
        label: what an error calls the file.

    Raises:
        UserError: the file is of another kind, cannot be read, unpacks to more than ``MOST_BYTES``, or has a line that
            is no JSON.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{label} is neither .jsonl nor .parquet; convert it to one of them")
    if not path.is_file():
        raise UserError(f"{label} is no file; give a .jsonl or .parquet file")
    if path.stat().st_size > MOST_BYTES:
        raise _too_large(label)
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

    number = unpacked = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            groups = (file.metadata.row_group(index) for index in range(file.metadata.num_row_groups))
            if sum(group.total_byte_size for group in groups) > MOST_BYTES:
                raise _too_large(label)
            # Batch by batch: what a file says of its size need not be so.
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                unpacked += batch.nbytes
                if batch.nbytes > _MOST_BATCH_BYTES or unpacked > MOST_BYTES:
                    raise _too_large(label)
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (OSError, MemoryError, pyarrow.ArrowException):
        raise UserError(f"{label} cannot be read as Parquet; write it anew") from None


def _too_large(label: str) -> UserError:
    return UserError(f"{label} unpacks to more than {MOST_BYTES >> 30} GiB; cut it into smaller files")
