"""The data lock: one hash over what is asked and what counts as right. Results with different locks are not paired."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sdbench.tasks.problem import Problem


def data_lock(problems: Iterable[Problem]) -> str:
    """SHA-256, in hexadecimal, over task, id, text and gold answer of every problem in order."""
    digest = hashlib.sha256()
    for problem in problems:
        for part in (problem.task, problem.id, problem.text, problem.answer):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "big"))
            digest.update(encoded)
    return digest.hexdigest()
