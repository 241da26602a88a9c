"""The grader of answers in plain mathematics: one chain for training, lm-eval and ``sdbench grade``."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import cast

from sdbench.tasks.grading.comparison import Comparison, has_several_values
from sdbench.tasks.grading.exact import read_number
from sdbench.tasks.grading.extraction import extract_answer, read_bare, read_gold
from sdbench.tasks.grading.formula import UnreadableFormulaError, read_formula
from sdbench.tasks.grading.limits import exceeded_limit
from sdbench.tasks.grading.normalise import normalise
from sdbench.tasks.grading.pool import Request, WorkerLimits, WorkerPool
from sdbench.tasks.grading.verdict import GradeItem, Verdict, VerdictName

DEFAULT_WORKERS = 4
SHOWN_CHARACTERS = 200


class MathGrader:
    """Grades by a chain of rules; implements ``Grader``.

    Strip thinking; read the last box, else an anchor, else ``no_answer``; normalise; compare as text and exact numbers;
    leave the rest to math-verify in worker processes, which are started when a comparison first needs them. Safe to
    call from any thread. Use it as a context manager, or call ``close``; at exit it is closed in any case.

    What overruns: a *prediction* over a limit of ``limits.py``, or one that cannot be read, or compared with a plain
    number, in the time and memory of a worker, is ``wrong``: the cost is its own. A gold that cannot be read, a
    comparison with a formula that overruns, a worker that dies of anything else: ``ungraded``. The rule names which.
    """

    def __init__(self, *, workers: int | None = None, limits: WorkerLimits | None = None) -> None:
        """Set the grader up; nothing is started.

        Args:
            workers: most worker processes at a time; by default one a core, at most four.
            limits: what one comparison may cost.

        Raises:
            ValueError: ``workers`` is below one.
        """
        if workers is not None and workers < 1:
            raise ValueError(f"workers = {workers} must be >= 1")
        self._size = workers or min(DEFAULT_WORKERS, os.cpu_count() or 1)
        self._limits = limits or WorkerLimits()
        self._lock = threading.Lock()
        self._pool: WorkerPool | None = None
        self._closed = False

    def __enter__(self) -> MathGrader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes, if any. A closed grader refuses to grade."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._closed = True
        if pool is not None:
            pool.close()

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers; empty until a comparison has needed one."""
        pool = self._pool
        return pool.worker_pids if pool is not None else []

    def grade(self, items: Sequence[GradeItem]) -> list[Verdict]:
        """One verdict an item, in order. Equal comparisons of one call are made once.

        Raises:
            RuntimeError: the grader is closed, or a worker process cannot be started at all.
        """
        if self._closed:
            raise RuntimeError("the grader is closed")
        prepared = [_prepare(item) for item in items]
        requests = list(dict.fromkeys(entry[1] for entry in prepared if not isinstance(entry, Verdict)))
        replies = dict(zip(requests, self._started_pool().ask_all(requests), strict=True)) if requests else {}
        verdicts = []
        for entry in prepared:
            if not isinstance(entry, Verdict):
                extracted, request = entry
                reply = replies[request]
                entry = Verdict(verdict=cast(VerdictName, reply.verdict), rule=reply.rule, extracted=extracted)
            verdicts.append(entry)
        return verdicts

    def _started_pool(self) -> WorkerPool:
        with self._lock:
            if self._closed:
                raise RuntimeError("the grader is closed")
            if self._pool is None:
                self._pool = WorkerPool(size=self._size, limits=self._limits)
                weakref.finalize(self, self._pool.close)
            return self._pool


def normalised_answer(answer: str) -> str:
    """The spelling under which answers vote together: a number in its one spelling, anything else normalised.

    The answer must keep the limits of ``limits.py``.
    """
    text = normalise(answer)
    number = read_number(text)
    return number.canonical if number is not None and number.base is None else text


def _prepare(item: GradeItem) -> Verdict | tuple[str, Request]:
    """The verdict, or what was read and the comparison that remains."""
    extraction = read_bare(item.prediction) if item.kind == "answer" else extract_answer(item.prediction)
    if extraction is None:
        return Verdict(verdict="no_answer", rule="nothing_to_read")
    written_gold = read_gold(item.gold)
    gold_limit = exceeded_limit(written_gold)
    gold = normalise(written_gold) if gold_limit is None else ""
    answer = extraction.adjoining if has_several_values(gold) else extraction.answer
    if (limit := exceeded_limit(answer)) is not None:
        return Verdict(verdict="wrong", rule=f"prediction_{limit}", extracted=answer[:SHOWN_CHARACTERS])
    prediction, extracted = normalise(answer), normalised_answer(answer)
    if not prediction:
        return Verdict(verdict="no_answer", rule="nothing_to_read")
    if gold_limit is not None:
        return Verdict(verdict="ungraded", rule=f"gold_{gold_limit}", extracted=extracted)
    if not gold:
        return Verdict(verdict="ungraded", rule="gold_empty", extracted=extracted)
    result = Comparison(tolerance=item.relative_tolerance).decide(gold, prediction)
    if result is not None:
        return Verdict(verdict="correct" if result.equal else "wrong", rule=result.rule, extracted=extracted)
    return extracted, Request(
        gold=gold,
        prediction=prediction,
        decimals=_decimals(gold),
        tolerance=item.relative_tolerance,
        plain_gold=_is_number(gold),
    )


def _is_number(gold: str) -> bool:
    """Whether a gold is a number, plain or as a formula without letters: comparing with one costs nothing."""
    if read_number(gold) is not None:
        return True
    try:
        return not read_formula(gold).names
    except UnreadableFormulaError:
        return False


def _decimals(gold: str) -> int:
    """Decimals to compare at: math-verify's six, more where the gold is so small that six of them say nothing."""
    number = read_number(gold)
    decimals = 6
    if number is not None and number.value != 0:
        magnitude = abs(number.value)
        while magnitude < 1 and decimals < 400:
            magnitude *= 10
            decimals += 1
    return decimals
