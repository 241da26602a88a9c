"""A problem as every track, trainer and grader sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem.

    Attributes:
        id: stable and unique within its task; seeds and sample keys are made from it.
        text: what the solver is asked, before any prompt format.
        answer: the gold answer, bare (``4``, not ``#4`` or a box).
        solution: a worked reference solution, or None where the data has none.
        task: the benchmark or stratum it belongs to, for example ``sdbench_nano_sum_1``.
        relative_tolerance: how far a decimal may be from ``answer``, relative to it; None where none is given.
    """

    id: str
    text: str
    answer: str
    solution: str | None = None
    task: str = ""
    relative_tolerance: float | None = None
