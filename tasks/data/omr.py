"""The paper's own held-out set: OpenMathReasoning cut to problems of one kind, then 282 to train on and 30 to test.

arXiv 2606.11173 keeps problems that its solver rarely solves and its critic can, and names neither the rows nor their
order. Here the rows are those with an extracted answer and a pass rate of the data set's own strong model within
bounds, as a stand-in for the critic; the solver's part is the recipe's ``[problems.filter]``. Order and split are a
hash of the text, so they depend on no file's order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sdbench.tasks.data.normal_form import normal_text
from sdbench.tasks.data.training import Left, training_form
from sdbench.tasks.errors import UserError

TRAINING_ROWS = 282
HELDOUT_ROWS = 30
ROWS_TO_STREAM = 20_000
"""Of the 3.2 million rows on the hub; several are of one problem."""


@dataclass(frozen=True, kw_only=True)
class OmrSettings:
    """What is kept: a pass rate of Qwen2.5-Math-72B-TIR within bounds, both included, and the seed of the order."""

    pass_rate_at_least: float = 0.1
    pass_rate_at_most: float = 0.9
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class OmrSplit:
    """Rows with the columns id, problem, answer, solution; and how many rows were left out, by reason."""

    training: tuple[dict[str, str], ...]
    heldout: tuple[dict[str, str], ...]
    left: Mapping[str, int]


def split_omr(
    rows: Iterable[Mapping[str, Any]], *, settings: OmrSettings | None = None, benchmark_texts: Collection[str] = ()
) -> OmrSplit:
    """Filter and split rows of OpenMathReasoning.

    Args:
        rows: in the published columns (problem, generated_solution, expected_answer, problem_type,
            pass_rate_72b_tir).
        settings: bounds and seed.
        benchmark_texts: ``normal_text`` of problems that must not be trained on or tested again.

    Raises:
        UserError: a row is in another form, or fewer than 312 problems are left.
    """
    bounds = settings or OmrSettings()
    left: Counter[str] = Counter()
    kept: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=1):
        form = training_form(row)
        if form is None or not form.repeats:
            raise UserError(f"row {number} is not in the columns of OpenMathReasoning; they are {', '.join(row)}")
        adapted = form.adapt(row)
        rate = _pass_rate(row.get("pass_rate_72b_tir"))
        if isinstance(adapted, Left):
            left[adapted.reason] += 1
        elif rate is None:
            left["no pass rate"] += 1
        elif not bounds.pass_rate_at_least <= rate <= bounds.pass_rate_at_most:
            left["pass rate out of bounds"] += 1
        elif (text := normal_text(adapted["problem"])) in benchmark_texts:
            left["in a benchmark"] += 1
        elif (identity := hashlib.sha256(text.encode()).hexdigest()[:16]) in kept:
            left["another solution of a problem above"] += 1
        else:
            kept[identity] = {"id": identity, **adapted}
    wanted = HELDOUT_ROWS + TRAINING_ROWS
    if len(kept) < wanted:
        raise UserError(
            f"{len(kept)} problems are left of {sum(left.values()) + len(kept)} rows, but {wanted} are needed"
        )
    ranked = sorted(kept.values(), key=lambda row: hashlib.sha256(f"omr/{bounds.seed}/{row['id']}".encode()).digest())
    return OmrSplit(training=tuple(ranked[HELDOUT_ROWS:wanted]), heldout=tuple(ranked[:HELDOUT_ROWS]), left=dict(left))


def _pass_rate(value: Any) -> float | None:
    """The published pass rate, which stands there as text, ``n/a`` where there is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
