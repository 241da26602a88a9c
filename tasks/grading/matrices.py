"""Matrices and vectors: their cells as written."""

from __future__ import annotations

import re

from sdbench.tasks.grading.brackets import read_listing

_ENVIRONMENT = re.compile(
    r"[\[(|]?\s*\\begin\s*\{(?P<name>[pbvBV]?matrix|smallmatrix|array)\*?\}\s*(?:\{[clr|\s]*\})?"
    r"(?P<body>(?:(?!\\begin|\\end).)*)\\end\s*\{(?P=name)\*?\}\s*[\])|]?",
    re.DOTALL,
)
_ROW_END = re.compile(r"\\\\(?:\s*\[[^\]]*\])?|\\cr(?![A-Za-z])")

Cells = tuple[tuple[str, ...], ...]


def read_matrix(text: str) -> Cells | None:
    """The cells of an answer that is one matrix, by rows; None where it is none."""
    text = text.strip()
    while text[:1] == "(" and text[-1:] == ")" and _ENVIRONMENT.fullmatch(text[1:-1].strip()):
        text = text[1:-1].strip()
    match = _ENVIRONMENT.fullmatch(text)
    if match is None:
        return None
    rows = [row for row in _ROW_END.split(match["body"]) if row.strip()]
    cells = tuple(tuple(cell.strip() for cell in row.split("&")) for row in rows)
    return cells if cells and len({len(row) for row in cells}) == 1 and all(all(row) for row in cells) else None


def read_vector(text: str) -> Cells | None:
    """A tuple as a column, nested lists as a matrix; None where the answer is neither."""
    listing = read_listing(text)
    if not listing.is_ordered or len(listing.items) < 2:
        return None
    rows = [read_listing(item) for item in listing.items]
    if all(row.brackets == "[]" for row in rows):
        return tuple(row.items for row in rows)
    return tuple((item,) for item in listing.items)
