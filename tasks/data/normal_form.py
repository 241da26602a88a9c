"""The form in which problems and golds are compared and hashed: what two copies of one set differ in is taken away."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

from sdbench.tasks.problem import Problem

_PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2212": "-"})


def normal_text(text: str) -> str:
    """Text in NFKC with plain quotes and minus signs, every run of white space one blank, none at either end."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_PLAIN).split())


def content_hash(problems: Iterable[Problem]) -> str:
    """SHA-256, in hexadecimal, over normalised problems, golds and tolerances.

    Copies of one set in another order, with other ids or other white space have the same hash.
    """
    parts = sorted(
        (normal_text(problem.text), normal_text(problem.answer), repr(problem.relative_tolerance))
        for problem in problems
    )
    digest = hashlib.sha256()
    for part in (field for row in parts for field in row):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()
